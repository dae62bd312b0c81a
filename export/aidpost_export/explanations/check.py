"""Checking a run's map: what `quantize` does after the graphs are made, and `pack` where that is out of date.

What was found is kept in the run; the next call only looks at graphs that it does not know yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from aidpost_export.cases import Role
from aidpost_export.explanations.chosen import Subject, choose
from aidpost_export.explanations.faithfulness import measure
from aidpost_export.explanations.record import (
    Explanation,
    Faithfulness,
    Stability,
    current_explanation,
    write_explanation,
)
from aidpost_export.explanations.resemblance import randomise, rank_correlations, same_zones
from aidpost_export.measure import Scores, calibrate
from aidpost_export.network import load_network
from aidpost_export.progress import Reporter
from aidpost_export.run import RunFolder
from aidpost_export.scoring import open_session, score
from aidpost_export.variant_record import FLOAT, TargetVariants, VariantRecord, inputs_digest, read_graph

FEWEST = 10
"""People called positive without whom nothing is said about a map."""
MOST: dict[Role, int] = {"calibration": 24, "validation": 12}
"""Cases that are looked at."""
COARSEST = 16
"""Cells of a map below which hardly any order differs from another."""


def check_map(run: RunFolder, made: Iterable[TargetVariants], reporter: Reporter, *, threads: int = 1) -> Explanation:
    """Check the map of the graphs that were made of a run, and keep what was found. Raises `RunError`."""
    variants = list({one.name: one for target in made for one in target.variants}.values())
    known = current_explanation(run)
    bench = _Bench(run, variants, reporter, threads)
    found = known or bench.explain(inputs_digest(run))
    if not found.obstacle:
        seen = {(one.variant, one.sha256) for one in found.stability}
        fresh = [bench.stability(one) for one in variants if one.quantisation and (one.name, one.sha256) not in seen]
        names = {one.variant for one in fresh}
        kept = [one for one in found.stability if one.variant not in names]
        found = msgspec.structs.replace(found, stability=(*kept, *fresh))
    if found != known:
        write_explanation(run, found)
    return found


def why_no_map(run: RunFolder, variants: Iterable[VariantRecord]) -> tuple[str, ...]:
    """Say why a bundle with these variants shows no map, in words; nothing when the map passed its check."""
    found = current_explanation(run)
    return found.refusals(one.name for one in variants if one.quantisation) if found else ("it was not checked",)


class _Bench:
    """A run laid out for looking at its map."""

    def __init__(self, run: RunFolder, variants: Sequence[VariantRecord], reporter: Reporter, threads: int) -> None:
        self._run, self._reporter, self._threads = run, reporter, threads
        self._float = next(one for one in variants if one.name == FLOAT)
        self._recipe = run.recipe().recipe
        self._cases, self._pixels = run.cases(), run.pixels()

    @cached_property
    def _scores(self) -> Scores:
        return calibrate(self._run.logits(), self._cases, self._recipe)

    @cached_property
    def _session(self) -> InferenceSession:
        return open_session(read_graph(self._run, self._float), threads=self._threads)

    def explain(self, inputs_sha256: str) -> Explanation:
        """Check everything but the INT8 graphs."""
        height, width = score(self._session, self._pixels, np.arange(1)).map.shape[2:]
        deciding = self._subjects("calibration")
        found = Explanation(
            inputs_sha256=inputs_sha256, rows=height, columns=width, obstacle=self._obstacle(height * width, deciding)
        )
        if found.obstacle:
            return found
        reported = self._subjects("validation")
        enough = len({self._cases.patients[one.row] for one in reported}) >= FEWEST
        return msgspec.structs.replace(
            found,
            calibration=self._measure("calibration", deciding),
            validation=self._measure("validation", reported) if enough else None,
            randomised=randomise(
                load_network(self._run.path),
                self._maps(self._session, deciding),
                [one.finding for one in deciding],
                self._scans(deciding),
            ),
        )

    def stability(self, variant: VariantRecord) -> Stability:
        """Hold the map of an INT8 graph against the float graph's, on the cases that decide."""
        subjects = self._subjects("calibration")
        session = open_session(read_graph(self._run, variant), threads=self._threads)
        before, after = self._maps(self._session, subjects), self._maps(session, subjects)
        return Stability(
            variant=variant.name,
            sha256=variant.sha256,
            cases=len(subjects),
            correlation=float(rank_correlations(before, after).mean()),
            same_zone=same_zones(before, after, self._recipe.zones, self._scans(subjects)),
        )

    def _subjects(self, role: Role) -> tuple[Subject, ...]:
        return choose(self._cases, self._scores, self._recipe, role, MOST[role])

    def _obstacle(self, cells: int, subjects: Sequence[Subject]) -> str:
        """Say why the map cannot be checked, or nothing."""
        if cells < COARSEST:
            return f"it has only {cells} cells, too few for one order to differ from another ({COARSEST} are needed)"
        people = len({self._cases.patients[one.row] for one in subjects})
        if people < FEWEST:
            return (
                f"the network calls only {people} people of the calibration cases positive, too few to check it "
                f"({FEWEST} are needed)"
            )
        return ""

    def _measure(self, role: Role, subjects: Sequence[Subject]) -> Faithfulness:
        with self._reporter.bar(f"Checking the map, {role} cases", len(subjects)) as bar:
            maps = list(self._maps(self._session, subjects))
            return measure(subjects, maps, self._cases, self._pixels, self._predict, bar)

    def _maps(self, session: InferenceSession, subjects: Sequence[Subject]) -> NDArray[np.float64]:  # (N, h, w)
        found = score(session, self._pixels, np.array([one.row for one in subjects])).map
        return found[np.arange(len(subjects)), [one.finding for one in subjects]].astype(np.float64)

    def _scans(self, subjects: Sequence[Subject]) -> NDArray[np.uint8]:  # (N, H, W, C)
        return np.array(self._pixels[[one.row for one in subjects]])

    def _predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:  # (B, H, W, C) → (B, K)
        return score(self._session, images, np.arange(len(images))).probability
