"""How stored values are meant to be shown: rescale, modality and VOI tables, windows, padding (DICOM PS3.3 C.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from aidpost_device.decode.element import integer, items, number, numbers, present, text, value, values
from aidpost_device.decode.image import LookupTable, Window
from aidpost_device.decode.reason import Reason, rejection

PADDING, PADDING_LIMIT = 0x0028_0120, 0x0028_0121
CENTER, WIDTH, INTERCEPT, SLOPE, FUNCTION = 0x0028_1050, 0x0028_1051, 0x0028_1052, 0x0028_1053, 0x0028_1056
MODALITY_TABLES, VOI_TABLES, DESCRIPTOR, TABLE = 0x0028_3000, 0x0028_3010, 0x0028_3002, 0x0028_3006
SHARED_GROUPS, FRAME_GROUPS, FRAME_VOI, FRAME_RESCALE = 0x5200_9229, 0x5200_9230, 0x0028_9132, 0x0028_9145
TAGS = (
    *(PADDING, PADDING_LIMIT, CENTER, WIDTH, INTERCEPT, SLOPE, FUNCTION),
    *(MODALITY_TABLES, VOI_TABLES, SHARED_GROUPS, FRAME_GROUPS),
)
"""Every element the presentation is read from."""


@dataclass(frozen=True, eq=False)
class Presentation:
    """How one grey image is shown."""

    slope: float
    intercept: float
    modality_table: LookupTable | None
    voi: Window | LookupTable | None
    padding: tuple[int, int] | None

    @property
    def needs_every_pixel(self) -> bool:
        """Whether a reduced decode would mix values that must be told apart first."""
        tables = [table for table in (self.modality_table, self.voi) if isinstance(table, LookupTable)]
        return self.padding is not None or not all(table.monotone for table in tables)


def read_presentation(dataset: Dataset, *, signed: bool, stored: int, little: bool) -> Presentation:
    """Read the presentation of a grey image whose pixels have `stored` bits.

    A table or a rescale that cannot be read rejects the file (`ScanError`): other values would be shown. A window
    that cannot be one counts as none, as viewers do.
    """
    tables = [_table(item, signed, little) for item in items(dataset, MODALITY_TABLES)[:1]]
    slope, intercept = _rescale(dataset)
    return Presentation(
        slope=slope,
        intercept=intercept,
        modality_table=tables[0] if tables else None,
        # A VOI table's inputs are rescaled values, which may be negative where the pixels are not.
        voi=_voi(dataset, signed or min(intercept, intercept + slope * (2**stored - 1)) < 0, little),
        padding=_padding(dataset, signed),
    )


def _rescale(dataset: Dataset) -> tuple[float, float]:
    holder = _holder(dataset, FRAME_RESCALE, SLOPE)
    found = []
    for tag, default in ((SLOPE, 1.0), (INTERCEPT, 0.0)):
        first = numbers(holder, tag)[:1]
        if not first and present(holder, tag):
            raise rejection(Reason.BAD_HEADER, "has an unreadable rescale")
        found += first or [default]
    slope, intercept = found
    if slope == 0:
        raise rejection(Reason.BAD_HEADER, "has a rescale slope of 0")
    return slope, intercept


def _voi(dataset: Dataset, signed: bool, little: bool) -> Window | LookupTable | None:
    """Return the VOI table, else the first window, else None."""
    holder = _holder(dataset, FRAME_VOI, CENTER)
    for source in (dataset, holder):
        if tables := items(source, VOI_TABLES):
            return _table(tables[0], signed, little)
    functions: dict[str | None, Literal["linear_exact", "sigmoid"]] = {
        "LINEAR_EXACT": "linear_exact",
        "SIGMOID": "sigmoid",
    }
    name = text(holder, FUNCTION, 16)
    for center, width in zip(numbers(holder, CENTER), numbers(holder, WIDTH), strict=False):
        if name not in functions:
            return Window(center, width) if width >= 1 else None
        return Window(center, width, functions[name]) if width > 0 else None
    return None


def _holder(dataset: Dataset, group: int, tag: int) -> Dataset:
    """Return where an element stands: the dataset, or the functional group of an enhanced object's only frame."""
    if present(dataset, tag):
        return dataset
    for groups in (*items(dataset, FRAME_GROUPS)[:1], *items(dataset, SHARED_GROUPS)[:1]):
        for holder in items(groups, group)[:1]:
            return holder
    return dataset


def _table(item: Dataset, signed: bool, little: bool) -> LookupTable:
    descriptor = [number(part) for part in values(item, DESCRIPTOR)]
    if len(descriptor) != 3 or None in descriptor:
        raise rejection(Reason.BAD_HEADER, "has an unreadable lookup table")
    count, first, bits = (int(part or 0) for part in descriptor)
    count = count or 2**16  # the standard's way to write what does not fit
    entries = _entries(item, count, little)
    if not 0 < count <= len(entries) or not 1 <= bits <= 16:
        raise rejection(Reason.BAD_HEADER, f"has a lookup table of {len(entries)} entries that promises {count}")
    first = first - 2**16 if signed and first >= 2**15 else first
    return LookupTable(first, entries[:count], max(2.0**bits - 1, float(entries[:count].max())))


def _entries(item: Dataset, count: int, little: bool) -> NDArray[np.float64]:
    """Return a table's entries, none when any is no number. Bytes hold 16-bit words, or 8-bit entries packed."""
    found = value(item, TABLE)
    if isinstance(found, bytes):
        packed = count <= len(found) < 2 * count
        kind = "u1" if packed else f"{'<' if little else '>'}u2"
        return np.frombuffer(found[: len(found) // 2 * 2], kind).astype(np.float64)
    entries = [number(part) for part in values(item, TABLE)]
    return np.array([] if None in entries else entries, dtype=np.float64)


def _padding(dataset: Dataset, signed: bool) -> tuple[int, int] | None:
    """Return the range of stored values that mean no image, None when there is none."""
    low = integer(dataset, PADDING)
    if low is None:
        return None
    high = integer(dataset, PADDING_LIMIT)
    ends = [_as_stored(end, signed) for end in (low, low if high is None else high)]
    return min(ends), max(ends)


def _as_stored(number: int, signed: bool) -> int:
    """Read a 16-bit value the way the pixels are: files mix up the two representations."""
    if signed and number >= 2**15:
        return number - 2**16
    return number + 2**16 if not signed and number < 0 else number
