"""The report: one HTML page that an ethics board can read, print and keep. No script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aidpost_export import sentences
from aidpost_export.cautions import group_name
from aidpost_export.detectors.tables import detector_tables
from aidpost_export.explanations import words
from aidpost_export.figures import Evaluation, FindingFigures
from aidpost_export.pictures import PROBES, finding_tag
from aidpost_export.plots.canvas import STYLE, Canvas
from aidpost_export.plots.people import Thousand, thousand
from aidpost_export.run import RunRecord

ROLE_USES = {
    "fit": "to train",
    "tuning": "to stop the training in time",
    "calibration": "to calibrate probabilities and choose the thresholds",
    "validation": "for the figures of this report only",
    "test": "not read here",
}
"""What the cases of each role were used for."""


def render_report(record: RunRecord, evaluation: Evaluation, pictures: Mapping[str, Canvas]) -> str:
    """Render the page."""
    environment = Environment(
        loader=PackageLoader("aidpost_export"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        number=sentences.number,
        percent=sentences.percent,
        number_interval=sentences.number_interval,
        percent_interval=sentences.percent_interval,
        signed_interval=sentences.signed_interval,
        gap_words=sentences.gap_words,
        listed=sentences.listed,
        capital=sentences.capital,
        inline=sentences.inline,
        group_name=group_name,
    )
    return environment.get_template("report.html").render(
        number=sentences.number,
        percent=sentences.percent,
        evaluation=evaluation,
        prevalences=sentences.prevalences(evaluation),
        record=record,
        findings=[_finding(evaluation, k, pictures) for k in range(len(evaluation.findings))],
        history=_inline(pictures, "history"),
        map_verdict=words.verdict(words.refusals(evaluation)),
        map_words=words.in_words(evaluation),
        map_curves=_inline(pictures, "map"),
        kept_weights=sentences.kept_weights(evaluation.kept),
        detector_tables=detector_tables(evaluation.detectors),
        roles=ROLE_USES,
        probes=PROBES,
        style=Markup(STYLE),  # noqa: S704 - a constant of this program
    )


def _finding(evaluation: Evaluation, k: int, pictures: Mapping[str, Canvas]) -> dict[str, Any]:
    """Everything the page shows of one finding."""
    finding, tag = evaluation.findings[k], finding_tag(evaluation, k)
    kinds = ("roc", "people", "reliability", "scores", "groups", "comparison")
    return {
        "figures": finding,
        "tag": tag,
        "words": sentences.in_words(finding, evaluation),
        "people": _people(finding),
        "plots": {kind: _inline(pictures, f"{kind}-{tag}") for kind in kinds},
    }


def _people(finding: FindingFigures) -> Thousand | None:
    if finding.sensitivity is None or finding.specificity is None or finding.prevalence is None:
        return None
    return thousand(finding.sensitivity.value, finding.specificity.value, finding.prevalence)


def _inline(pictures: Mapping[str, Canvas], name: str) -> Markup | None:
    """The picture as markup; every text in it was escaped where it was drawn."""
    return Markup(pictures[name].inline()) if name in pictures else None  # noqa: S704 - see above
