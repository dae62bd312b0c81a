"""The seam around foreign decoders: whatever they raise becomes a rejection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aidpost_device.decode.reason import Reason, rejection
from aidpost_device.errors import ScanError

_LONGEST_MESSAGE = 160


@contextmanager
def guarded(decoder: str) -> Iterator[None]:
    """Turn any failure of `decoder` inside the block into a `ScanError`."""
    try:
        yield
    except (ScanError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as error:
        raise rejection(Reason.TOO_LARGE_TO_DECODE, f"needs more memory than it may have in {decoder}") from error
    except BaseException as error:  # decoders raise anything; a panic in Rust is no `Exception`
        raise rejection(Reason.UNDECODABLE, f"cannot be decoded by {decoder}: {brief(error)}") from error


def brief(error: BaseException) -> str:
    """Say in one short line what a foreign exception says; its text may come from the file."""
    line = " ".join(str(error).split())
    safe = "".join(letter if letter.isprintable() else "?" for letter in line)
    return f"{type(error).__name__}: {safe[:_LONGEST_MESSAGE]}"
