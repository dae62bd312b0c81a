"""Reports of a screening: a table, lines of JSON, and a page for people. All are made from the store alone."""
