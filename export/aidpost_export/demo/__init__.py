"""The demo: two generated hospitals, a base trained at the large one, and what transfer to the small one is worth."""
