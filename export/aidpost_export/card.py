"""The model card: the recipe's words on use and limits, completed with what was measured.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

from aidpost_device.bundle.manifest import Acceptance
from aidpost_export.detectors.tables import detector_tables
from aidpost_export.explanations.words import in_words, refusals, verdict
from aidpost_export.figures import AbstentionFigures, Evaluation, FindingFigures
from aidpost_export.recipe import Recipe
from aidpost_export.sentences import gap_words, number, number_interval, percent, percent_interval, prevalences
from aidpost_export.variant_record import TargetVariants

_NONE = "\N{EN DASH}"
"""A figure that a finding does not have."""
_HIDDEN = "not shown"
"""A group with too few cases; nothing is known about it."""


def write_card(
    card: str,
    recipe: Recipe,
    evaluation: Evaluation,
    made: Sequence[TargetVariants],
    accepted: Sequence[Acceptance] = (),
) -> str:
    """Complete a recipe's card with figures, groups, device graphs, what was accepted, and cautions."""
    parts = [
        card.rstrip(),
        "## Measured on the validation cases\n\n" + _figures(evaluation),
        "## Groups\n\n" + _groups(evaluation),
        "## When the box says UNSURE\n\n" + _unsure(evaluation),
        "## Device graphs\n\n" + _graphs(evaluation, made),
        "## Accepted in spite of a gate\n\n" + _accepted(accepted),
        "## Heat map\n\n" + _map(evaluation),
        *("## What is sent back and refused\n\n" + text for text in _detectors(evaluation)),
        "## Read before use\n\n" + _cautions(evaluation),
    ]
    if evaluation.synthetic:
        parts.insert(1, "**Made from generated images. For practice only, not for people.**")
    targets = {name: recipe.target_of(k) for k, name in enumerate(recipe.labels)}
    wanted = "; ".join(f"{percent(target)} ({name})" for name, target in targets.items())
    parts.append(
        "Thresholds were chosen on the calibration cases to reach a sensitivity of "
        f"{percent(recipe.target_of(0)) if len({*targets.values()}) == 1 else wanted}; predictive values hold at a "
        f"prevalence of {prevalences(evaluation)}."
    )
    parts += [
        f"The target for {one.finding} was chosen for a programme by {one.author} on {one.day}: {one.reason}"
        for one in evaluation.programmes
    ]
    return "\n\n".join(parts) + "\n"


def _figures(evaluation: Evaluation) -> str:
    header = ["finding", "cases", "AUROC", "threshold", "sensitivity", "specificity", "PPV", "NPV"]
    rows = [
        [
            figures.name,
            f"{figures.positives} of {figures.cases}",
            number_interval(figures.auroc),
            number(figures.operating_point.threshold),
            percent_interval(figures.sensitivity),
            percent_interval(figures.specificity),
            *(
                _NONE if figures.prevalence is None else percent_interval(value)
                for value in (figures.positive_predictive_value, figures.negative_predictive_value)
            ),
        ]
        for figures in evaluation.findings
    ]
    return _table(header, rows)


def _groups(evaluation: Evaluation) -> str:
    header = ["finding", "group", "cases", "AUROC", "sensitivity", "gap", "specificity", "gap"]
    rows = [_group_row(figures, position) for figures in evaluation.findings for position in range(len(figures.groups))]
    if not rows:
        return "No groups are known in this dataset."
    return _table(header, rows) + (
        "\n\nGap: the group against everybody else, in percentage points; p is corrected for the number of groups."
    )


def _group_row(figures: FindingFigures, position: int) -> list[str]:
    group = figures.groups[position]
    counts = f"{group.positives} of {group.cases}"
    shown = [
        number_interval(group.auroc) if group.auroc else _HIDDEN,
        percent_interval(group.sensitivity) if group.sensitivity else _HIDDEN,
        gap_words(group.sensitivity_gap),
        percent_interval(group.specificity) if group.specificity else _HIDDEN,
        gap_words(group.specificity_gap),
    ]
    return [figures.name, f"{group.column} {group.value}", counts, *shown]


def _unsure(evaluation: Evaluation) -> str:
    header = ["finding", "between", "people UNSURE", "right or UNSURE, with it", "without", "missed", "sensitivity"]
    found = [(one.name, one.abstention) for one in evaluation.findings]
    found += [
        (f"{one.label} by {variant.name}", one.abstention)
        for variant in (evaluation.device.variants if evaluation.device else ())
        if variant.precision == "int8"
        for one in variant.findings
    ]
    rows = [_unsure_row(name, figures) for name, figures in found if figures]
    never = [
        f"{one.name}: never because of the probability; {one.unlimited}."
        for one in evaluation.findings
        if one.abstention is None
    ]
    return "\n\n".join([*([_table(header, rows)] if rows else []), *never])


def _unsure_row(name: str, found: AbstentionFigures) -> list[str]:
    own = found.answers
    return [
        name,
        f"{number(found.limits.low)} and {number(found.limits.high)}",
        percent_interval(found.unsure),
        *(percent_interval(one) for one in (own.covered_with, own.covered_without, own.missed)),
        f"{percent_interval(own.sensitivity)}; of those answered {percent_interval(own.sensitivity_answered)}",
    ]


def _accepted(accepted: Sequence[Acceptance]) -> str:
    if not accepted:
        return "Nothing: no group that could be judged falls below what the recipe allows."
    lines = [f"- {one.subject}: {one.found}. Accepted because: {one.reason}" for one in accepted if one.reason]
    lines += [f"- {one.subject}: {one.found}. This is no pass." for one in accepted if not one.reason]
    return "\n".join(lines)


def _graphs(evaluation: Evaluation, made: Sequence[TargetVariants]) -> str:
    """Say what ships for which kind of box, with its own figures, and what was refused."""
    header = [
        "graph",
        "boxes",
        "finding",
        "AUROC",
        "threshold",
        "sensitivity",
        "specificity",
        "verdicts changed",
        "speed",
    ]
    lines = [_table(header, _graph_rows(evaluation, made)), ""]
    for target in made:
        lines += [f"- {target.target}: {target.note}"] if target.note else []
        lines += [
            f"- {target.target}, not shipped: {one.name} ({one.calibration}, float stages: {one.float_stages}): "
            + "; ".join(one.refusals)
            for one in target.attempts
            if one.refusals
        ]
    shipped = {one.name for target in made for one in target.variants}
    for variant in evaluation.device.variants if evaluation.device else ():
        if variant.name in shipped:
            lines += [f"- {variant.name}, sensitivity for {one.label}, {one.words}" for one in variant.sensitivity]
    return "\n".join(lines).rstrip()


def _graph_rows(evaluation: Evaluation, made: Sequence[TargetVariants]) -> list[list[str]]:
    """One row for each graph and finding: threshold from the calibration cases, figures on the validation cases."""
    records = {one.name: one for target in made for one in target.variants}
    measured = evaluation.device.variants if evaluation.device else ()
    return [
        [
            figures.name,
            ", ".join(target.target for target in made if records[figures.name] in target.variants),
            finding.label,
            number_interval(finding.auroc),
            number(records[figures.name].findings[finding.label].operating_point.threshold),
            percent_interval(finding.sensitivity),
            percent_interval(finding.specificity),
            percent_interval(finding.flips) if finding.flips else _NONE,
            _NONE if figures.speed is None else f"{figures.speed:.1f} times float",
        ]
        for figures in measured
        if figures.name in records
        for finding in figures.findings
    ]


def _map(evaluation: Evaluation) -> str:
    return "\n".join(f"- {text}" for text in (verdict(refusals(evaluation)), *in_words(evaluation)))


def _detectors(evaluation: Evaluation) -> list[str]:
    """What the detectors of each graph do; nothing where there are none."""
    texts = []
    for one in detector_tables(evaluation.detectors):
        table = _table(one.header, one.rows)
        texts.append(f"{one.title}.\n\n{table}" if one.rows else f"{one.title}.")
    return ["\n\n".join(texts)] if texts else []


def _cautions(evaluation: Evaluation) -> str:
    lines = [f"- {caution.text}" for caution in evaluation.cautions]
    return "\n".join(lines) if lines else "The evaluation raised no caution. That is no proof that the model travels."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
