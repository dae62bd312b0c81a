"""Values of interest: from modality units to grey levels (DICOM PS3.3 C.11.2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_device.decode.image import LookupTable, Window

Grey = NDArray[np.float32]
"""Grey levels in [0, 1]: 0 black, 1 white."""


def apply_window(values: NDArray[np.float32], window: Window) -> Grey:
    """Map values through a window. `linear` is DICOM's default: its ends lie on whole numbers."""
    center, width = window.center, window.width  # Python floats leave the values in single precision
    if window.function == "linear":
        center, width = center - 0.5, width - 1
    grey: Grey
    if window.function == "sigmoid":
        with np.errstate(over="ignore"):
            grey = 1 / (1 + np.exp(-4 * (values - center) / width))
    elif width == 0:
        grey = (values > center).astype(np.float32)
    else:
        grey = np.clip((values - center) / width + 0.5, 0, 1)
    return grey


def apply_table(values: NDArray[np.float32], table: LookupTable) -> Grey:
    """Map values through a VOI table."""
    return np.clip(table.look_up(values) / table.white, 0, 1).astype(np.float32)


def apply_percentiles(values: NDArray[np.float32], low: float, high: float) -> Grey:
    """Stretch values between two of their percentiles, in [0, 100]; NaN counts for nothing, a flat image is black."""
    present = values[~np.isnan(values)]
    if not present.size:
        return values
    black, white = (float(end) for end in np.percentile(present, (low, high)))
    if not white > black:
        return values * np.float32(0)
    grey: Grey = np.clip((values - black) / (white - black), 0, 1)
    return grey
