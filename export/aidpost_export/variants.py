"""The step `quantize`: make the device graphs of a run, prove them, and keep what passes, with what did not and why.

Parity with torch is asserted on real pixels. INT8 candidates are tried in order and judged on the calibration cases;
the first that passes ships beside the float graph. Axes: N cases, K findings.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Abstention, FindingNumbers, Quantisation
from aidpost_device.engine import Prediction, Target
from aidpost_export.detectors.attach import attach, check_detectors
from aidpost_export.detectors.fit import Detectors, fit_detectors, spoilt_count, training_rows
from aidpost_export.errors import ParityError, RunError
from aidpost_export.explanations.check import check_map
from aidpost_export.gates import Calibrated, Change, compare, recalibrate, sensitivity_gate
from aidpost_export.graph import PARITY, DeviceGraph, check_parity, export_graph, set_temperature, torch_outputs
from aidpost_export.latency import speed_ratio
from aidpost_export.measure import calibrate
from aidpost_export.network import load_network
from aidpost_export.progress import Reporter
from aidpost_export.quantise import ROWS, Candidate, Quantiser, Scheme, candidates
from aidpost_export.run import RunFolder
from aidpost_export.scoring import open_session, score
from aidpost_export.sensitivity_gate import SensitivityChange
from aidpost_export.unsure import fit_limits
from aidpost_export.variant_record import (
    FLOAT,
    SCHEMES,
    Attempt,
    TargetVariants,
    VariantRecord,
    inputs_digest,
    write_graph,
    write_logits,
    write_variants,
)

PARITY_IMAGES = 16
"""Real images on which the exported graph is compared with torch."""
SAME_NETWORK = 1e-3
"""Largest difference of a logit from `logits.npy`, of their range: training may have run on another machine."""
NOTES: dict[Target, str] = {
    "jetson": "The Jetson takes the float graph: its graphics processor wants INT8 scales of another kind.",
}
_ARCHITECTURES: dict[Scheme, tuple[str, ...]] = {"u8s8": ("x86_64", "AMD64"), "s8s8": ("aarch64", "arm64")}


def make_variants(
    run: RunFolder, targets: Sequence[Target], reporter: Reporter, *, threads: int = 1
) -> dict[Target, TargetVariants]:
    """Make the graphs for these targets and keep them in the run.

    Raises `ParityError` when the exported graph is not the network, `CalibrationError` when the calibration cases do
    not allow a threshold, and `RunError` when the run is not complete.
    """
    torch.set_num_threads(threads)
    bench = Bench(run, reporter, threads)
    made: dict[Target, TargetVariants] = {}
    float_variant = bench.float_variant()
    int8: dict[Scheme, tuple[VariantRecord | None, tuple[Attempt, ...]]] = {}
    for target in targets:
        scheme = SCHEMES[target]
        if scheme is not None and scheme not in int8:
            int8[scheme] = bench.int8_variant(scheme)
        accepted, attempts = int8[scheme] if scheme is not None else (None, ())
        made[target] = TargetVariants(
            target=target,
            inputs_sha256=inputs_digest(run),
            note=NOTES.get(target, ""),
            variants=(accepted, float_variant) if accepted else (float_variant,),
            attempts=attempts,
        )
        write_variants(run, made[target])
    check_map(run, made.values(), reporter, threads=threads)
    return made


class Bench:
    """One run laid out for making graphs: its network, its cases, and the float graph's calibrated outputs."""

    def __init__(self, run: RunFolder, reporter: Reporter, threads: int) -> None:
        self.run = run
        self.recipe = run.recipe().recipe
        self.cases = run.cases()
        self.pixels = run.pixels()  # (N, H, W, C)
        self._reporter = reporter
        self._threads = threads
        self._rows = self.cases.where("calibration")
        self._fit = np.random.default_rng(0).permutation(self.cases.where("fit"))
        if self._fit.size == 0:
            raise RunError(f"{run.path} has no cases to take ranges from.", "Adapt again with more labelled cases.")
        scores = calibrate(run.logits(), self.cases, self.recipe)
        self._reference = Calibrated(
            scores.temperature, scores.probability[self._rows], scores.points, scores.decided[self._rows]
        )
        self._network = load_network(run.path)
        self._bias: NDArray[np.float32] = self._network.head.bias.detach().numpy()  # (K,)
        self._graph = b""

    def float_variant(self) -> VariantRecord:
        """Export the float graph and prove that it is the network. Raises `ParityError`."""
        self._reporter.note("Exporting the device graph.")
        module = DeviceGraph(self._network, self._reference.temperature, self.recipe.activation)
        self._graph = export_graph(module, size=self.recipe.input.size, channels=self.recipe.input.channels)
        few = self._rows[:PARITY_IMAGES]
        session = open_session(self._graph, threads=self._threads)
        check_parity(score(session, self.pixels, few), torch_outputs(module, self.pixels[few]))
        everything = self._score(self._graph, np.arange(len(self.cases)), "Checking the float graph")
        self._require_same_network(self._logits(everything)[self._rows])
        graph, detectors = self._detect(FLOAT, self._graph, everything)
        write_graph(self.run, FLOAT, graph)
        return self._record(FLOAT, graph, self._reference, None, detectors)

    def int8_variant(self, scheme: Scheme) -> tuple[VariantRecord | None, tuple[Attempt, ...]]:
        """Try the candidates of one scheme in order; give the first that passes and the record of all."""
        attempts: list[Attempt] = []
        name = f"int8-{scheme}"
        pixels = self.pixels[self._fit[: max(ROWS.values())]]
        with tempfile.TemporaryDirectory(prefix="aidpost-") as folder:
            quantiser = Quantiser(self._graph, pixels, Path(folder))
            for candidate in candidates(len(self._network.stages)):
                self._reporter.note(f"{name}: {candidate.calibration}, float stages: {candidate.float_stages}.")
                made = quantiser.quantise(candidate, scheme)
                attempt, calibrated = self._judge(name, candidate, made.graph, scheme)
                attempts.append(attempt)
                if calibrated is not None:
                    quantisation = _quantisation(attempt, scheme, made.float_nodes)
                    return self._accept(name, made.graph, calibrated, quantisation), tuple(attempts)
                self._reporter.note(f"{name}: refused, " + "; ".join(attempt.refusals) + ".")
        return None, tuple(attempts)

    def _judge(
        self, name: str, candidate: Candidate, graph: bytes, scheme: Scheme
    ) -> tuple[Attempt, Calibrated | None]:
        """Hold one INT8 graph against the gates; give its calibrated outputs when it passes."""
        logits = self._logits(self._score(graph, self._rows, f"Judging {name}"))
        if not np.isfinite(logits).all():
            return _attempt(name, candidate, Change(-1.0, 1.0), None, ("its outputs are not finite numbers",)), None
        targets = self.cases.targets[self._rows]
        patients = [self.cases.patients[i] for i in self._rows]
        found = recalibrate(logits, targets, patients, self.recipe, self._reference)
        change = compare(found, self._reference, targets)
        here = platform.machine() in _ARCHITECTURES[scheme]
        speed = speed_ratio(self._graph, graph, np.array(self.pixels[self._rows[:1]])) if here else None
        sensitivity = sensitivity_gate(found, self._reference, self.cases, self._rows, self.recipe)
        refusals = change.refusals(speed, self.recipe.gates) + tuple(
            f"it may find too few of those with {one.label}: {one.words}; {100 * one.allowed:g} are allowed"
            for one in sensitivity
            if one.refused
        )
        return _attempt(name, candidate, change, speed, refusals, sensitivity), None if refusals else found

    def _accept(self, name: str, graph: bytes, found: Calibrated, quantisation: Quantisation) -> VariantRecord:
        """Put the refitted temperature into the graph, see that it works there, and keep the graph."""
        graph = set_temperature(graph, found.temperature)
        everything = self._score(graph, np.arange(len(self.cases)), f"Scoring with {name}")
        gap = float(np.abs(everything.probability[self._rows] - found.probability).max())
        if not gap <= PARITY:
            raise ParityError(
                f"{name} gives probabilities {gap:.2g} away from what it was judged by.", "Report this message."
            )
        graph, detectors = self._detect(name, graph, everything)
        write_graph(self.run, name, graph)
        write_logits(self.run, name, self._logits(everything))
        return self._record(name, graph, found, quantisation, detectors)

    def _detect(self, name: str, graph: bytes, everything: Prediction) -> tuple[bytes, Detectors]:
        """Fit the detectors on this graph's own embeddings, append them, and see that they work there."""
        session = open_session(graph, threads=self._threads)
        rows = training_rows(self.cases)
        embedding = everything.embedding[rows]

        def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return score(session, pixels, np.arange(len(pixels))).embedding

        with self._reporter.bar(f"Fitting the detectors of {name}", spoilt_count(self.cases, self.recipe)) as bar:
            detectors = fit_detectors(self.cases, self.pixels, embedding, embed, self.recipe, bar.advance)
        attached = attach(graph, detectors)
        few = rows[:PARITY_IMAGES]
        check_detectors(score(open_session(attached, threads=self._threads), self.pixels, few), detectors)
        for note in detectors.notes:
            self._reporter.note(f"{name}: {note}.")
        return attached, detectors

    def _record(
        self,
        name: str,
        graph: bytes,
        found: Calibrated,
        quantisation: Quantisation | None,
        detectors: Detectors,
    ) -> VariantRecord:
        numbers = {
            label: FindingNumbers(
                temperature=float(found.temperature[k]),
                operating_point=found.points[k],
                abstention=self._limits(found, k),
                reference=_tenths(found.probability[:, k]),
            )
            for k, label in enumerate(self.recipe.labels)
        }
        return VariantRecord(
            name=name,
            precision="int8" if quantisation else "float32",
            sha256=hashlib.sha256(graph).hexdigest(),
            quantisation=quantisation,
            findings=numbers,
            distance=detectors.limit,
            quality=detectors.checks,
            missing=detectors.notes,
        )

    def _limits(self, found: Calibrated, k: int) -> Abstention | None:
        """Limits to abstain between, from this graph's own probabilities of the cases that the box decides."""
        rows = self._rows[found.decided[:, k]]
        probability, target = found.probability[found.decided[:, k], k], self.cases.targets[rows, k]
        patients = np.array(self.cases.patients)[rows]
        return fit_limits(self.recipe, k, probability, target, found.points[k].threshold, patients)[0]

    def _score(self, graph: bytes, rows: NDArray[np.intp], description: str) -> Prediction:
        with self._reporter.bar(description, len(rows)) as bar:
            return score(open_session(graph, threads=self._threads), self.pixels, rows, bar)

    def _logits(self, found: Prediction) -> NDArray[np.float32]:  # (N, K)
        """Logits from the map, whose mean plus the bias they are, whatever the graph's temperature."""
        logits: NDArray[np.float32] = found.map.mean((2, 3)) + self._bias
        return logits

    def _require_same_network(self, logits: NDArray[np.float32]) -> None:
        """See that `logits.npy`, which calibration uses, came from these weights."""
        expected = self.run.logits()[self._rows]
        gap = float(np.abs(logits - expected).max()) / (float(np.ptp(expected)) or 1.0)
        if not gap <= SAME_NETWORK:
            raise RunError(
                f"{self.run.path / 'logits.npy'} was not computed by this run's network (logits differ by {gap:.1%}).",
                "Run `aidpost export adapt` on a new folder.",
            )


def _attempt(
    name: str,
    candidate: Candidate,
    change: Change,
    speed: float | None,
    refusals: tuple[str, ...],
    sensitivity: tuple[SensitivityChange, ...] = (),
) -> Attempt:
    return Attempt(
        name=name,
        calibration=candidate.calibration,
        float_stages=candidate.float_stages,
        auroc_change=change.auroc,
        flips=change.flips,
        speed=speed,
        sensitivity=sensitivity,
        refusals=refusals,
    )


def _quantisation(attempt: Attempt, scheme: Scheme, float_nodes: int) -> Quantisation:
    return Quantisation(
        scheme=scheme,
        calibration=attempt.calibration,
        float_nodes=float_nodes,
        auroc_change=attempt.auroc_change,
        flips=attempt.flips,
        speed=attempt.speed,
    )


def _tenths(probability: NDArray[np.float32]) -> tuple[float, ...]:  # (N,)
    """Fractions of the probabilities in ten equal bins of [0, 1]."""
    counts, _ = np.histogram(probability, bins=10, range=(0.0, 1.0))
    return tuple(float(count) / len(probability) for count in counts)
