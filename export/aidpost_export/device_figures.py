"""What became of the network on its way to the boxes: each device graph's own figures on the validation cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aidpost_device.calibration.proportions import rates, share
from aidpost_export.calibrate import probabilities
from aidpost_export.errors import RunError
from aidpost_export.figures import DeviceFigures, RefusedVariant, VariantFigures, VariantFinding
from aidpost_export.groups import group_sensitivities
from aidpost_export.measure import Measured
from aidpost_export.resampling import auroc_difference, auroc_interval
from aidpost_export.run import RunFolder
from aidpost_export.sensitivity_gate import SensitivityChange
from aidpost_export.unsure import abstention_figures

if TYPE_CHECKING:
    from aidpost_export.variant_record import VariantRecord


def device_figures(run: RunFolder, measured: Measured) -> DeviceFigures | None:
    """Measure the graphs that `quantize` made of this network; None when it made none."""
    if not (run.path / "device").is_dir():
        return None
    from aidpost_export.variant_record import read_variants  # brings the quantiser: seconds

    made = read_variants(run)
    if not made:
        return None
    records, targets = {}, dict[str, list[str]]()
    judged = {
        attempt.name: attempt.sensitivity
        for found in made.values()
        for attempt in found.attempts
        if not attempt.refusals
    }
    for target, found in made.items():
        for record in found.variants:
            records[record.name] = record
            targets.setdefault(record.name, []).append(target)
    return DeviceFigures(
        notes={target: found.note for target, found in made.items() if found.note},
        variants=tuple(
            _variant_figures(run, measured, record, tuple(targets[name]), judged.get(name, ()))
            for name, record in records.items()
        ),
        refused=tuple(
            RefusedVariant(
                name=attempt.name,
                target=target,
                calibration=attempt.calibration,
                float_stages=attempt.float_stages,
                reasons=attempt.refusals,
            )
            for target, found in made.items()
            for attempt in found.attempts
            if attempt.refusals
        ),
    )


def _variant_figures(
    run: RunFolder,
    measured: Measured,
    record: VariantRecord,
    targets: tuple[str, ...],
    judged: tuple[SensitivityChange, ...],
) -> VariantFigures:
    from aidpost_export.variant_record import read_logits  # as above

    logits, labels = read_logits(run, record.name), measured.recipe.labels
    if logits.shape != measured.cases.targets.shape:
        raise RunError(
            f"The logits of variant {record.name} have shape {logits.shape}, the cases {measured.cases.targets.shape}.",
            "Run `aidpost export quantize` on this run again.",
        )
    temperature = np.array([record.findings[label].temperature for label in labels])
    probability = probabilities(logits, temperature, measured.recipe.activation)[measured.validation]
    findings, smallest = [], measured.recipe.gates.smallest_group
    for k, label in enumerate(labels):
        cases = measured.decided(k)
        p, before, target, patients = probability[cases.inside, k], cases.probability, cases.target, cases.patients
        threshold = record.findings[label].operating_point.threshold
        limits = record.findings[label].abstention
        sensitivity, specificity = rates(p, target, threshold, patients)
        changed = (p >= threshold) != (before >= measured.scores.points[k].threshold)
        findings.append(
            VariantFinding(
                label=label,
                auroc=auroc_interval(p, target, patients),
                change=auroc_difference(p, before, target, patients),
                sensitivity=sensitivity,
                specificity=specificity,
                flips=share(changed, patients) if record.quantisation else None,
                groups=tuple(
                    one
                    for column, values in measured.groups_of(cases)
                    for one in group_sensitivities(column, values, p >= threshold, target, patients, smallest)
                ),
                abstention=abstention_figures(measured.recipe, k, limits, p, target, threshold, patients)
                if limits
                else None,
            )
        )
    return VariantFigures(
        name=record.name,
        precision=record.precision,
        targets=targets,
        findings=tuple(findings),
        speed=record.quantisation.speed if record.quantisation else None,
        sensitivity=judged,
    )
