"""`report.html`: one self-contained page for people, worst first. No scripts, nothing loaded from anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from aidpost_device import __version__
from aidpost_device.bundle.acceptances import acceptances_line
from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.variant import Estimate, Variant
from aidpost_device.decision import FindingDecision, Word
from aidpost_device.in_force import InForce
from aidpost_device.reason import Reason
from aidpost_device.report.digest import REJECTIONS, Digest, StudyDigest
from aidpost_device.report.path_text import path_text
from aidpost_device.report.picture import Picture, common_scale, plain, with_map
from aidpost_device.report.rank import ORDER
from aidpost_device.store.rows import ScanRow

LISTED_FINDINGS = 5
"""Findings of one scan that the page lists; the rest stand in the table."""
NOTES = frozenset({Reason.AGE_UNKNOWN})
"""Reasons that change no word and may stand with every scan."""


@dataclass(frozen=True)
class Header:
    """What the page says of the run as a whole."""

    manifest: Manifest
    variant: Variant
    bundle_sha256: str
    rules: Mapping[str, InForce]
    """By what each finding was decided, by label."""
    written: str
    """ISO 8601 date; empty while the clock is not set."""
    unread: int = 0
    """Files that are not read yet; 0 when the screening is complete."""
    alarm: str | None = None
    """What is wrong with the bundle, such as its expiry."""


@dataclass(frozen=True)
class Card:
    """One study as the page shows it."""

    word: Word
    study: str
    folder: str
    name: str
    """The file's name in its folder."""
    lead: FindingDecision
    lead_name: str
    others: tuple[tuple[str, FindingDecision], ...]
    """Further findings with their names, worst first."""
    unlisted: int
    """Findings that are not listed."""
    reasons: tuple[Reason, ...]
    """Why it has its word."""
    notes: tuple[Reason, ...]
    """What is to be known besides, explained once for all cards."""
    files: Mapping[Word, int]
    image: str | None
    heat: str | None

    @property
    def file_count(self) -> int:
        """Files of this study in this screening."""
        return sum(self.files.values())


def render(header: Header, digest: Digest, pictures: Mapping[str, Picture]) -> str:
    """Write the page. `pictures` are by content; a study without one says so."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent, probability=probability, interval=interval, path=path_text)
    source = files("aidpost_device.report").joinpath("templates", "screening.html.j2").read_text("utf-8")
    manifest = header.manifest
    names = {finding.label: finding.names["en"] for finding in manifest.findings}
    scale = common_scale(pictures.values())
    worst = digest.worst()
    cards = [_card(row, study, digest, names, pictures.get(row.sha256), scale) for row, study in worst]
    context: dict[str, object] = {field.name: getattr(header, field.name) for field in fields(header)}
    return environment.from_string(source).render(
        context,
        program=__version__,
        digest=digest,
        studies=digest.studies,
        unshown=digest.studies - Counter(card.word for card in cards),
        words=ORDER,
        cards=cards,
        names=names,
        scale=scale,
        corrected=any(rule.prevalence is not None for rule in header.rules.values()),
        has_map=manifest.outputs.map != "none",
        notes=sorted({note for card in cards for note in card.notes}),
        rejection_limit=REJECTIONS,
        accepted=acceptances_line(manifest),
    )


def probability(value: float) -> str:
    """Write a probability; what would be rounded to certainty says that it is not quite."""
    if value > 0.9995:
        return "> 0.999"
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def percent(fraction: float) -> str:
    """Write a fraction in [0, 1] as a percentage with as many digits as it deserves."""
    return f"{100 * fraction:.0f} %" if 0.0995 < fraction < 0.9905 else f"{100 * fraction:.1f} %"


def interval(estimate: Estimate) -> str:
    """Write a proportion with its 95 % interval."""
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"


def _card(
    row: ScanRow,
    study: StudyDigest,
    digest: Digest,
    names: Mapping[str, str],
    picture: Picture | None,
    scale: float,
) -> Card:
    lead = digest.lead(row)
    name = row.path.rpartition(b"/")[2]
    others = sorted(
        (found for found in row.findings if found is not lead),
        key=lambda found: (ORDER.index(found.word), -found.probability),
    )
    return Card(
        word=row.decision,
        study=row.study,
        folder=path_text(row.path[: len(row.path) - len(name)]),
        name=path_text(name),
        lead=lead,
        lead_name=names.get(lead.label, lead.label),
        others=tuple((names.get(found.label, found.label), found) for found in others[: LISTED_FINDINGS - 1]),
        unlisted=max(0, len(others) - LISTED_FINDINGS + 1),
        reasons=tuple(reason for reason in row.reasons if reason not in NOTES),
        notes=tuple(reason for reason in row.reasons if reason in NOTES),
        files={word: study.files[word] for word in ORDER if study.files[word]},
        image=plain(picture) if picture else None,
        heat=with_map(picture, scale) if picture else None,
    )
