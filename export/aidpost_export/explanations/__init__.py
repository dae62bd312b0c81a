"""Explanations that are checked: does the device graph's own map show what moved the probability?"""
