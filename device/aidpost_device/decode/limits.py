"""How much one file may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one file. The defaults fit the largest films and phone photographs on a box with 2 GB of memory."""

    seconds: float = 30.0
    """Wall time of one file in its worker, seconds: opening, hashing, decoding and preparing."""
    memory_bytes: int = 640 * 2**20
    """Address space that a worker may add to what it had before its first file, bytes."""
    pixels: int = 64_000_000
    """Rows times columns."""
    file_bytes: int = 256 * 2**20
    """Size of the file, and of its content once inflated, bytes."""


DEFAULT_LIMITS = Limits()
