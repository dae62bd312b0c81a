"""From bytes to pixels: every file is hostile until it has been decoded within its limits."""
