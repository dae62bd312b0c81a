"""The commands of `aidpost export`, one file each; thin callers that import what is heavy when called."""
