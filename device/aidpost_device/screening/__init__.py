"""Batch screening: files in, readings in the store, reports in a folder."""
