"""Benchmarks: what prints the figures of docs/benchmarks.md. Ratios against a peer or a limit of the same run."""
