"""A thousand people as dots: what referral means at the local prevalence, in numbers one can count."""

from __future__ import annotations

from dataclasses import dataclass

from aidpost_export.plots.canvas import Canvas, Kind

PEOPLE = 1000
_ACROSS = 50
_STEP = 16


@dataclass(frozen=True)
class Thousand:
    """A thousand people screened, in whole people."""

    found: int
    """With the finding and referred."""
    missed: int
    """With the finding and not referred."""
    alarms: int
    """Without the finding, yet referred."""
    cleared: int
    """Without the finding and not referred."""


def thousand(sensitivity: float, specificity: float, prevalence: float) -> Thousand:
    """Count a thousand people at a prevalence; the four numbers always sum to a thousand."""
    ill = round(PEOPLE * prevalence)
    found = round(ill * sensitivity)
    cleared = round((PEOPLE - ill) * specificity)
    return Thousand(found=found, missed=ill - found, alarms=PEOPLE - ill - cleared, cleared=cleared)


def people_plot(name: str, people: Thousand) -> Canvas:
    """Draw one dot per person; those with the finding first, the missed ones as rings."""
    rows = -(-PEOPLE // _ACROSS)
    words = (
        f"{people.found} with {name} are referred, {people.missed} with it are not, "
        f"{people.alarms} without it are referred, {people.cleared} without it are not"
    )
    canvas = Canvas(30 + _ACROSS * _STEP, 16 + rows * _STEP, f"A thousand people screened for {name}", words + ".")
    marks: list[tuple[int, Kind, float, str]] = [
        (people.found, "positive", 6, "with the finding, referred"),
        (people.missed, "positive", 0, "with the finding, missed"),
        (people.alarms, "negative", 6, "without the finding, referred"),
        (people.cleared, "faint", 4, ""),
    ]
    each = [(kind, radius, tip) for count, kind, radius, tip in marks for _ in range(count)]
    for i, (kind, radius, tip) in enumerate(each):
        x, y = 23 + i % _ACROSS * _STEP, 16 + i // _ACROSS * _STEP
        if radius:
            canvas.dot(x, y, radius, kind, tip)
        else:
            canvas.ring(x, y, 6, kind, tip)
    return canvas
