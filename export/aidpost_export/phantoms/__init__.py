"""Generated images of the kinds the recipes read. They resemble real ones and are none: every file says so.

Axes: y runs down and x to the right; lengths are in units of the image's height unless said otherwise.
"""
