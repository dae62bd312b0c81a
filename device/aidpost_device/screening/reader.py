"""Reading one prepared scan: the engine's outputs, the decision, and a picture for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.decision import (
    Facts,
    FindingDecision,
    Word,
    decide_finding,
    decide_scan,
    plain_faults,
    reject,
    unlike_training,
)
from aidpost_device.decode.image import Header
from aidpost_device.decode.pool import PreparedScan
from aidpost_device.engine import Engine, Prediction
from aidpost_device.errors import EngineError
from aidpost_device.in_force import InForce
from aidpost_device.quality import Quality, measure
from aidpost_device.reason import Reason
from aidpost_device.region import name_region
from aidpost_device.report.picture import Picture, take
from aidpost_device.report.rank import Rank, leading, rank
from aidpost_device.screening.rejected import describe, person_of
from aidpost_device.store.records import Model, Reading, Rejection, Scan

ENGINE_FAILED = "engine-failed"
"""Reason of a rejection: the model gave nothing that can be used for this scan."""


@dataclass(frozen=True)
class Shown:
    """What a picture of a scan needs besides its pixels."""

    lead: FindingDecision
    """The finding it is shown for."""
    rank: Rank
    """Its place in a report, alone."""
    maps: NDArray[np.float32]  # (K, h, w) float32, logit scale


@dataclass(frozen=True)
class Read:
    """What became of one scan."""

    outcome: Reading | Rejection
    shown: Shown | None = None
    """None for a rejection."""


class Reader:
    """Reads prepared scans with one engine. Nothing here waits, writes or keeps."""

    def __init__(self, engine: Engine, manifest: Manifest, rules: Mapping[str, InForce]) -> None:
        self._engine = engine
        self.rules = rules
        """By what each finding is decided, by label."""
        self._findings = manifest.findings
        self._mapped = manifest.outputs.map != "none"
        self._columns = manifest.outputs.quality
        self._zones = manifest.zones if self._mapped else ()
        self.referring = frozenset(finding.label for finding in manifest.findings if finding.refers)
        """Labels of the findings that refer."""
        self.variant = engine.variant.name
        """The variant that reads."""
        self._model = Model(manifest.name, manifest.version, engine.variant.name, engine.model_sha256)

    def read(self, scan: PreparedScan) -> Read:
        """Score and decide one scan; a scan that the bundle is not for, or that breaks the model, is rejected."""
        started = perf_counter()
        header = scan.header
        quality = measure(scan.pixels)
        facts = Facts(
            contrast=quality.contrast,
            age=header.age,
            view=header.view or "",
            modality=header.modality or "",
            intent=header.intent or "",
        )
        refusal = reject(facts, self._engine.spec)
        if refusal is not None:
            message = refusal.text
            if refusal is Reason.MODALITY_NOT_ACCEPTED:
                message += f" It is {facts.modality}; the model reads {', '.join(self._engine.spec.modalities)}."
            return Read(describe(scan, refusal, message, refusal.hint, self._engine.spec))
        try:
            prediction = self._engine.run(scan.pixels[None])  # (1, H, W, C)
            if not plain_faults(facts, self._engine.spec) and self._is_unlike(prediction):
                unlike = Reason.UNLIKE_TRAINING
                return Read(describe(scan, unlike, unlike.text, unlike.hint, self._engine.spec))
            decisions = self._decide(prediction, replace(facts, measures=self._measures(quality, prediction)))
            decisions = self._locate(decisions, prediction, scan.pixels)
        except EngineError as error:
            return Read(describe(scan, ENGINE_FAILED, str(error), error.hint, self._engine.spec))
        milliseconds = scan.milliseconds + 1000 * (perf_counter() - started)
        reading = Reading(_scan(scan, header), self._model, scan.decoder, milliseconds, decisions)
        return Read(reading, self._shown(decisions, prediction))

    def picture(self, pixels: NDArray[np.uint8], shown: Shown) -> Picture:  # (H, W, C) uint8
        """Make the picture of a scan. One to be repeated gets no map: what the model saw in it means nothing."""
        if not self._mapped or shown.lead.word is Word.REPEAT:
            return take(pixels, shown.lead.label, None)
        labels = [finding.label for finding in self._findings]
        return take(pixels, shown.lead.label, shown.maps[labels.index(shown.lead.label)])

    def look_again(self, pixels: NDArray[np.uint8], decisions: tuple[FindingDecision, ...]) -> Picture:  # (H, W, C)
        """Make the picture of a scan that was read earlier; its decisions stand as they were recorded."""
        return self.picture(pixels, self._shown(decisions, self._engine.run(pixels[None])))

    def _shown(self, decisions: tuple[FindingDecision, ...], prediction: Prediction) -> Shown:
        lead = leading(decisions, self.referring)
        return Shown(lead, rank(decide_scan(decisions), lead), prediction.map[0])

    def _is_unlike(self, prediction: Prediction) -> bool:
        distance = None if prediction.distance is None else float(prediction.distance[0])
        return unlike_training(distance, self._engine.variant.distance)

    def _measures(self, quality: Quality, prediction: Prediction) -> dict[str, float]:
        scores = () if prediction.quality is None else map(float, prediction.quality[0])
        return asdict(quality) | dict(zip(self._columns, scores, strict=True))

    def _decide(self, prediction: Prediction, facts: Facts) -> tuple[FindingDecision, ...]:
        variant, accepted = self._engine.variant, self._engine.spec
        return tuple(
            decide_finding(finding, self.rules[finding.label], float(p), facts, accepted, variant.quality)
            for finding, p in zip(self._findings, prediction.probability[0], strict=True)
        )

    def _locate(
        self, decisions: tuple[FindingDecision, ...], prediction: Prediction, pixels: NDArray[np.uint8]
    ) -> tuple[FindingDecision, ...]:
        """Say where what refers, or what a person must look for, lies. A scan to be repeated points nowhere."""
        return tuple(
            replace(found, region=name_region(heat, self._zones, pixels))
            if found.label in self.referring and found.word in (Word.REFER, Word.UNSURE)
            else found
            for found, heat in zip(decisions, prediction.map[0], strict=True)
        )


def _scan(scan: PreparedScan, header: Header) -> Scan:
    return Scan(
        sha256=scan.sha256,
        size_bytes=scan.size_bytes,
        person=person_of(header),
        study_uid=header.study_uid or "",
        sop_uid=header.sop_uid or "",
        modality=header.modality or "",
        view=header.view or "",
        body_part=header.body_part or "",
        age_years=header.age,
        sex=header.sex,
    )
