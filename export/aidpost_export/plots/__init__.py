"""Plots as hand-written SVG: readable by eye, by a screen reader and in print; no script, no external resource."""
