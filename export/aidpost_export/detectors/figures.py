"""The figures of the detectors as they stand in `evaluation.json`: what each graph sends back and refuses."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aidpost_device.bundle.variant import Estimate

METHOD = 1
"""Version of how they are measured. Figures of another one are measured again."""

Kind = Literal["noise", "photographs", "inverted", "generated", "against"]
"""`generated`: drawn images of another kind than the recipe's; `against`: a folder that was named."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of these figures."""


class GoodFigures(Section, frozen=True, kw_only=True):
    """The untouched validation scans."""

    scans: int
    refused: Estimate | None
    """Share that is refused as unlike the training scans; None where nothing is."""
    repeated: Estimate | None
    """Share that is sent back for a fault; None where none is looked for."""


class SourceFigures(Section, frozen=True, kw_only=True):
    """Images that are none of the recipe's, or of other people and machines."""

    name: str
    kind: Kind
    scans: int
    unreadable: int
    """Files that could not be read; they are not counted among the scans."""
    refused: Estimate | None
    repeated: Estimate | None
    """Share that is not refused but sent back for a fault."""


class GradeFigures(Section, frozen=True, kw_only=True):
    """Validation scans spoilt in one way to one grade."""

    fault: str
    grade: int
    """1 (mild) to 4 (severe)."""
    scans: int
    repeated: Estimate | None
    """Share that is sent back, for this fault or another."""
    named: Estimate | None
    """Share that is sent back for this fault, perhaps among others."""
    refused: Estimate | None
    """Share that is refused as unlike, and so gets no hint how to retake."""


class VariantDetectors(Section, frozen=True, kw_only=True):
    """The detectors of one device graph."""

    variant: str
    graph: str
    """Digest of the graph file."""
    distance: bool
    """Whether it refuses what is unlike the training scans."""
    looked_for: tuple[str, ...]
    """Faults that it looks for."""
    missing: tuple[str, ...]
    """What the recipe asks for and the graph does not do, and why."""
    good: GoodFigures
    grades: tuple[GradeFigures, ...]
    sources: tuple[SourceFigures, ...]


class DetectorFigures(Section, frozen=True, kw_only=True):
    """The detectors of a run's device graphs, measured on the validation cases."""

    method: int = METHOD
    false_refusals: float
    """Share of good scans that the recipe allows to refuse."""
    false_repeats: float
    """Share of good scans that the recipe allows to send back."""
    variants: tuple[VariantDetectors, ...]
