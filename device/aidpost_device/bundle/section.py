"""What every part of the manifest is made of: its base and the kinds of its values."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}\Z")]
"""Lower-case name that is safe as a file name on every system."""
Label = Annotated[str, Meta(min_length=1, max_length=64)]
"""A finding's label, exactly as it stands in the dataset's `index.csv`."""
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Date = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
"""Calendar date, ISO 8601."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the manifest."""
