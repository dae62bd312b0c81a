"""Update with a preview: what would change if another bundle read the stored scans, before it is made active."""
