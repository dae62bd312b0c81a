"""The workstation: adapts a pretrained model to local scans, proves it, quantises it and packs a signed bundle."""

REQUIRES = ("torch", "transformers", "optimum", "onnx", "datasets", "sklearn")
"""What the extra `export` installs, checked before the commands are loaded."""
