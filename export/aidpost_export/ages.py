"""Ages as people and DICOM write them."""

from __future__ import annotations

import re

_DICOM = re.compile(r"^(\d{3})([DWMY])$")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
OLDEST = 130
"""Years."""


def parse_age(text: str) -> float | None:
    """Turn an age in years ("63", "0.5") or in DICOM's form ("006M") into years; None when it is neither."""
    match = _DICOM.match(text.strip().upper())
    try:
        years = int(match[1]) / _PER_YEAR[match[2]] if match else float(text)
    except ValueError:
        return None
    return years if 0 <= years <= OLDEST else None
