"""The box: verifies bundles, decodes scans, runs the model, decides, keeps the record and reports.

Light on purpose: no torch, transformers, textual, onnx, pandas or pydantic is imported anywhere below.
"""

__version__ = "0.1.0"
