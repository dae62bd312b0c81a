"""Measuring the detectors of a run's device graphs: on good validation scans, on spoilt ones, and on other images.

What was measured of a graph stays in the run, also while its graphs are out of date: a programme that is adopted asks
for other thresholds and often gives the same graph again. So nothing is measured twice, and a folder that was named
once stays in the figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aidpost_device.calibration.proportions import share
from aidpost_device.decision import faults as faults_of
from aidpost_export.cases import Cases
from aidpost_export.detectors.degrade import GRADES
from aidpost_export.detectors.figures import (
    METHOD,
    DetectorFigures,
    GoodFigures,
    GradeFigures,
    SourceFigures,
    VariantDetectors,
)
from aidpost_export.detectors.fit import spoilt_scans
from aidpost_export.detectors.sources import Source, folder_source, other_images
from aidpost_export.errors import RunError
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.scoring import open_session, score

if TYPE_CHECKING:
    from aidpost_export.variant_record import VariantRecord

FILE = "device/detectors.json"
"""File of a run with the figures of its graphs, those of earlier ones included."""
EACH = 25
"""Validation scans that are spoilt in each way and grade, at most."""
INVERTED = 40
"""Validation scans that are inverted, at most."""


@dataclass(frozen=True)
class Outcomes:
    """What the detectors of one graph do with N images."""

    refused: NDArray[np.bool_]  # (N,)
    reasons: tuple[tuple[str, ...], ...]
    """Faults that each is sent back for; none of a refused one.  # N"""

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """Which are sent back.  # (N,)"""
        return np.array([bool(one) for one in self.reasons], bool)


class Sensor:
    """The detectors of one device graph, used as a box uses them."""

    def __init__(self, record: VariantRecord, graph: bytes, recipe: Recipe) -> None:
        self.record = record
        self._columns = recipe.detectors.faults
        self._session: onnxruntime.InferenceSession = open_session(graph)

    def sense(self, pixels: NDArray[np.uint8]) -> Outcomes:  # (N, S, S, C)
        """Run the graph and hold what it gives against its limits."""
        found = score(self._session, pixels, np.arange(len(pixels)))
        limit = self.record.distance
        refused = np.zeros(len(pixels), bool)
        if limit is not None and found.distance is not None:
            refused = np.greater(found.distance, limit.limit)
        quality = np.zeros((len(pixels), 0)) if found.quality is None else found.quality
        measures = [dict(zip(self._columns, map(float, row), strict=False)) for row in quality]
        reasons = [
            () if gone else tuple(faults_of(one, self.record.quality))
            for gone, one in zip(refused, measures, strict=True)
        ]
        return Outcomes(refused, tuple(reasons))


def detector_figures(
    run: RunFolder, cases: Cases, recipe: Recipe, against: Sequence[Path], reporter: Reporter
) -> DetectorFigures | None:
    """Measure the detectors of the graphs that `quantize` made; None when it made none, or the recipe asks for none.

    Raises `RunError` when there is none to try on the folders `against`, or one of them holds nothing that can be read.
    """
    wanted = recipe.detectors
    records = _records(run) if wanted.distance or wanted.faults else {}
    if against and not any(map(_has_any, records.values())):
        raise RunError(
            f"{run.path} has no device graphs with detectors to be tried on other scans.",
            "Run `aidpost export quantize` on this run first; docs/recipes.md says what detectors need.",
        )
    if not records:
        return None
    from aidpost_export.variant_record import read_graph  # as in `_records`

    known = _measured_before(run)
    folders = [folder_source(folder, recipe.input, reporter) for folder in against]
    fresh = [one for one in records.values() if _key(one) not in known]
    others = _others(run, cases, recipe, reporter) if any(_has_any(one) for one in fresh) else []
    variants = []
    for record in records.values():
        sensor = Sensor(record, read_graph(run, record), recipe)
        figures = known.get(_key(record)) or _measure(sensor, run, cases, recipe, others, reporter)
        variants.append(_with_folders(figures, sensor, folders))
    run.write_json(FILE, known | dict(zip(map(_key, records.values()), variants, strict=True)))
    return DetectorFigures(
        false_refusals=wanted.false_refusals, false_repeats=wanted.false_repeats, variants=tuple(variants)
    )


def _records(run: RunFolder) -> dict[str, VariantRecord]:
    """What was made of this run and is up to date, each variant once."""
    if not (run.path / "device").is_dir():
        return {}
    from aidpost_export.variant_record import read_variants  # brings the quantiser: seconds

    return {one.name: one for made in read_variants(run).values() for one in made.variants}


def _has_any(record: VariantRecord) -> bool:
    return record.distance is not None or bool(record.quality)


def _measured_before(run: RunFolder) -> dict[str, VariantDetectors]:
    """Figures of the run's graphs, earlier ones included; nothing where those are of another version."""
    try:
        return msgspec.json.decode((run.path / FILE).read_bytes(), type=dict[str, VariantDetectors])
    except (OSError, msgspec.DecodeError):
        return {}


def _key(record: VariantRecord) -> str:
    """What the figures of a graph hang on: the way to measure, the graph, and the limits, which it does not hold."""
    parts = (METHOD, record.sha256, record.distance, record.quality, record.missing)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _others(run: RunFolder, cases: Cases, recipe: Recipe, reporter: Reporter) -> list[Source]:
    rows = cases.where("validation")
    few = np.sort(np.random.default_rng(0).permutation(rows)[:INVERTED])
    return list(other_images(recipe, run.pixels()[few], reporter))


def _measure(
    sensor: Sensor, run: RunFolder, cases: Cases, recipe: Recipe, others: Sequence[Source], reporter: Reporter
) -> VariantDetectors:
    """Measure one graph on everything but the named folders."""
    record, pixels, rows = sensor.record, run.pixels(), cases.where("validation")
    some = _has_any(record)
    patients = np.array(cases.patients)
    grades = []
    with reporter.bar(f"Trying the detectors of {record.name}", len(recipe.detectors.faults) * len(GRADES) + 1) as bar:
        good = sensor.sense(pixels[rows]) if some else Outcomes(np.zeros(len(rows), bool), ((),) * len(rows))
        bar.advance()
        for fault, grade, chosen, spoilt in spoilt_scans(pixels, rows, recipe, EACH) if record.quality else ():
            grades.append(_grade(fault, grade, sensor.sense(spoilt), patients[chosen]))
            bar.advance()
    return VariantDetectors(
        variant=record.name,
        graph=record.sha256,
        distance=record.distance is not None,
        looked_for=tuple(check.retake for check in record.quality),
        missing=record.missing,
        good=GoodFigures(
            scans=len(rows),
            refused=share(good.refused, patients[rows]) if record.distance else None,
            repeated=share(good.repeated, patients[rows]) if record.quality else None,
        ),
        grades=tuple(grades),
        sources=tuple(_source(sensor, source) for source in others) if some else (),
    )


def _grade(fault: str, grade: int, found: Outcomes, patients: NDArray[np.str_]) -> GradeFigures:
    named = [fault in reasons for reasons in found.reasons]
    return GradeFigures(
        fault=fault,
        grade=grade,
        scans=len(patients),
        repeated=share(found.repeated, patients),
        named=share(named, patients),
        refused=share(found.refused, patients),
    )


def _source(sensor: Sensor, source: Source) -> SourceFigures:
    found = sensor.sense(source.pixels)
    each = np.arange(len(source.pixels))
    return SourceFigures(
        name=source.name,
        kind=source.kind,
        scans=len(each),
        unreadable=source.unreadable,
        refused=share(found.refused, each),
        repeated=share(found.repeated, each),
    )


def _with_folders(figures: VariantDetectors, sensor: Sensor, folders: Sequence[Source]) -> VariantDetectors:
    """Add the named folders; one that was named before is measured anew, the others stay."""
    if not folders or not _has_any(sensor.record):
        return figures
    names = {folder.name for folder in folders}
    kept = tuple(one for one in figures.sources if one.kind != "against" or one.name not in names)
    return msgspec.structs.replace(figures, sources=(*kept, *(_source(sensor, one) for one in folders)))
