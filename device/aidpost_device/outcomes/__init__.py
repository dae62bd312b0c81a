"""Confirmed outcomes: a file of what became of people, matched with the readings, and the threshold chosen on them."""
