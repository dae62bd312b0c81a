"""The one command `aidpost`: thin callers of the packages' functions."""
