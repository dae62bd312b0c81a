"""What a decoder returns: stored values on a grid, and everything needed to show them right.

Axes: H rows (top to bottom), W columns (left to right). A coordinate is continuous: pixel i covers [i, i + 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""Stored values of any integer type, (H, W) or (H, W, 3)."""
Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself. Every text is data from outside: bounded and free of control characters."""

    modality: str | None = None
    intent: str | None = None
    """Presentation Intent Type: `FOR PROCESSING` is raw, `FOR PRESENTATION` is what people are shown."""
    view: str | None = None
    body_part: str | None = None
    laterality: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    sop_uid: str | None = None
    patient_id: str | None = None
    issuer: str | None = None
    """Who gave out the patient id: the same id from two issuers is two people."""
    patient_name: str | None = None
    sex: Literal["F", "M", ""] = ""
    birth_date: str | None = None
    """ISO 8601 date."""
    study_date: str | None = None
    """ISO 8601 date."""
    age: Annotated[float, Meta(ge=0, le=130)] | None = None
    """Age at the study, years in [0, 130]."""
    manufacturer: str | None = None
    machine: str | None = None
    """Manufacturer's model name."""


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window (DICOM PS3.3 C.11.2.1.2 and .3), in modality units."""

    center: float
    width: float
    """At least 1 for `linear`, above 0 for the others."""
    function: Literal["linear", "linear_exact", "sigmoid"] = "linear"


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI table (DICOM PS3.3 C.11.1 and C.11.2.1.1)."""

    first: int
    """Input value that the first entry maps; inputs outside take the nearest end's entry."""
    entries: NDArray[np.float64]  # (N,) float64
    white: float
    """Entry that a display shows as white."""

    @cached_property
    def monotone(self) -> bool:
        """Whether averaging before the table and after it agree up to its curvature."""
        steps = np.diff(self.entries)
        return bool(np.all(steps >= 0) or np.all(steps <= 0))

    def look_up(self, values: Pixels) -> Pixels:
        """Map values, interpolating between entries."""
        inputs = self.first + np.arange(len(self.entries))
        return np.interp(values, inputs, self.entries)


@dataclass(frozen=True, eq=False, kw_only=True)
class DecodedImage:
    """One image as its decoder gave it, perhaps at reduced resolution."""

    pixels: Pixels  # (H, W) stored values, or (H, W, 3) uint8
    photometric: Photometric
    bits: int
    """Bits stored per sample."""
    rows: int
    """Height of the full image, pixels."""
    columns: int
    """Width of the full image, pixels."""
    decoder: str
    """Name and version of the decoder, as recorded with the result."""
    aspect: float = 1.0
    """Height of a pixel over its width."""
    slope: float = 1.0
    """Modality units per stored value."""
    intercept: float = 0.0
    """Modality units at stored value 0."""
    modality_table: LookupTable | None = None
    """Replaces slope and intercept."""
    voi: Window | LookupTable | None = None
    padding: tuple[int, int] | None = None
    """Lowest and highest stored value that mean "no image here"."""
    step: int = 1
    """Full-resolution pixels per pixel of the grid, along both axes."""
    origin: float = 0.5
    """Full-resolution coordinate of the centre of the grid's first pixel, along both axes."""
    header: Header = field(default_factory=Header)

    @property
    def is_display(self) -> bool:
        """Whether stored values are grey levels of 8 bits as they stand, with nothing said of how to show them."""
        plain = self.voi is None and self.modality_table is None and (self.slope, self.intercept) == (1.0, 0.0)
        # Whatever container the decoder chose, and however wide the codestream says its samples are.
        bytes_only = self.bits == 8 and self.pixels.dtype.kind == "u" and int(self.pixels.max(initial=0)) < 2**8
        return plain and bytes_only
