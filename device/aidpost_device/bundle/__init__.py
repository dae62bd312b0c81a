"""The bundle: one signed file that carries a model, what it may be used for, and the proof that it still computes."""
