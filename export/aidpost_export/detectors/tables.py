"""The detectors' figures as tables, for the card and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aidpost_device.bundle.variant import Estimate
from aidpost_export.detectors.figures import DetectorFigures, SourceFigures, VariantDetectors
from aidpost_export.sentences import listed, percent, percent_interval

NOTHING = "\N{EN DASH}"
"""A figure that is not there."""


@dataclass(frozen=True)
class DetectorTable:
    """A heading with rows; without rows the heading says everything."""

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def detector_tables(figures: DetectorFigures | None) -> list[DetectorTable]:
    """Lay the figures of every graph out."""
    return [table for one in (figures.variants if figures else ()) for table in _tables(one)]


def _tables(one: VariantDetectors) -> Iterator[DetectorTable]:
    missing = f" Missing: {'; '.join(one.missing)}" if one.missing else ""
    if not one.distance and not one.looked_for:
        yield DetectorTable(f"{one.variant}: nothing is sent back or refused for its looks.{missing}")
        return
    looks = f" It looks for: {listed(one.looked_for)}." if one.looked_for else ""
    title = f"{one.variant}, images that were not spoilt.{looks}{missing}".removesuffix(".")
    good = ("good validation scans", str(one.good.scans), _shown(one.good.refused), _shown(one.good.repeated))
    rows = [
        (_named(source), str(source.scans), _shown(source.refused), _shown(source.repeated)) for source in one.sources
    ]
    yield DetectorTable(title, ("images", "number", "refused as unlike", "to be taken again"), (good, *rows))
    if one.grades:
        yield DetectorTable(
            f"{one.variant}, validation scans that were spoilt, from grade 1 (mild) to 4 (severe): share that is to be "
            "taken again for that very fault; in brackets what is caught at all, refused ones included",
            ("fault", "1", "2", "3", "4"),
            tuple(_fault_rows(one)),
        )


def _fault_rows(one: VariantDetectors) -> Iterator[tuple[str, ...]]:
    for fault in dict.fromkeys(grade.fault for grade in one.grades):
        cells = [
            f"{percent_interval(grade.named)} [{_caught(grade.repeated, grade.refused)}]"
            for grade in one.grades
            if grade.fault == fault
        ]
        yield (fault, *cells)


def _caught(repeated: Estimate | None, refused: Estimate | None) -> str:
    """Add two shares that exclude each other."""
    return percent(min(1.0, sum(one.value for one in (repeated, refused) if one)))


def _named(source: SourceFigures) -> str:
    return f"{source.name} ({source.unreadable} files unreadable)" if source.unreadable else source.name


def _shown(figure: Estimate | None) -> str:
    return NOTHING if figure is None else percent_interval(figure)
