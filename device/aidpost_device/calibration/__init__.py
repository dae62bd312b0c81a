"""Calibration: what a threshold does, which one to choose, and where the model cannot tell. Pure, numpy only."""
