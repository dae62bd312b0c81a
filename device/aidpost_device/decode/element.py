"""Single DICOM elements, read defensively: a value that cannot be what it should be is no value.

pydicom converts an element when it is first asked for, and raises whatever it likes on hostile bytes; here is the one
place where that is caught.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from typing import TypeGuard

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

_LONGEST_VALUE = 2**18
"""Bytes. Longer values are not converted: the longest legitimate one is a table of 65,536 two-byte entries."""
_LARGEST_NUMBER = 1e12
"""No rescale, window or count of a real scan comes near it."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line and direction overrides, lone surrogates: nothing a name needs."""


def value(dataset: Dataset, tag: int) -> object | None:
    """Return an element's converted value, or None when it is absent, empty or unusable."""
    try:
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.value is not None and len(raw.value) > _LONGEST_VALUE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted: object = dataset[tag].value
    except Exception:  # noqa: BLE001 - see the top of this module
        return None
    return None if converted in ("", b"") else converted


def values(dataset: Dataset, tag: int) -> list[object]:
    """Return an element's values as a list, empty when there are none."""
    found = value(dataset, tag)
    if found is None:
        return []
    return list(found) if isinstance(found, MultiValue | list | tuple) else [found]


def text(dataset: Dataset, tag: int, limit: int = 64) -> str | None:
    """Return the first value as one line of at most `limit` characters."""
    found = values(dataset, tag)
    if not found:
        return None
    line = _CONTROLS.sub(" ", str(found[0])[: 4 * limit]).strip()[:limit].strip()
    return line or None


def number(item: object) -> float | None:
    """Return a finite number of sane size, or None."""
    try:
        found = float(item)  # type: ignore[arg-type]  # refused below when it is no number
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) <= _LARGEST_NUMBER else None


def numbers(dataset: Dataset, tag: int) -> list[float]:
    """Return the values that are numbers, in their order."""
    found = (number(item) for item in values(dataset, tag))
    return [item for item in found if item is not None]


def integer(dataset: Dataset, tag: int) -> int | None:
    """Return the first value as a whole number, or None."""
    found = values(dataset, tag)
    exact = number(found[0]) if found else None
    return int(exact) if exact is not None and exact == int(exact) else None


def present(dataset: Dataset, tag: int) -> bool:
    """Whether the element is there with a value, usable or not."""
    raw = dataset.get_item(tag) if tag in dataset else None
    return raw is not None and bool(raw.value)


def items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    """Return a sequence's items, none when it is absent or no sequence."""
    found = value(dataset, tag)
    return [] if not _is_sequence(found) else [item for item in found if isinstance(item, Dataset)]


def _is_sequence(found: object) -> TypeGuard[Sequence[object]]:
    return isinstance(found, Sequence) and not isinstance(found, str | bytes)
