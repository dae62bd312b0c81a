"""What the check of a run's map found, as it stands in `explanation.json` and in the evaluation, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from aidpost_export.run import RunFolder
from aidpost_export.statistics import Interval

METHOD = 1
"""Version of the check: what another one found is found anew."""
FILE = "explanation.json"
CHANGED = 0.5
"""Largest rank correlation, in absolute value, of the map with that of a network with random weights at its end."""
STABLE = 0.9
"""Smallest rank correlation of an INT8 graph's map with the float graph's."""
SAME_ZONE = 0.8
"""Smallest share of the cases in which both name the same zone, or both none."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the record."""


class Curve(Section, frozen=True, kw_only=True):
    """Mean probability while cells of the map are exchanged, a share of them at a time."""

    shares: tuple[float, ...]
    """Cells exchanged, as a share of all, from 0 to 1."""
    own: tuple[float, ...]
    """In the map's order."""
    random: tuple[float, ...]
    """In the order of random maps of the same smoothness."""


class Faithfulness(Section, frozen=True, kw_only=True):
    """Deletion and insertion on the cases of one role that the network calls positive."""

    cases: int
    patients: int
    findings: dict[str, int]
    """Finding → cases that were looked at for it."""
    deletion: Curve
    """Cells of the scan are put into a healthy one's place: the faster it falls, the more the map holds."""
    insertion: Curve
    """Cells of the scan are put into a healthy one: the faster it rises, the more the map holds."""
    deletion_gain: Interval
    """Area under the deletion curve of random maps minus the map's, paired by case, interval by patient."""
    insertion_gain: Interval
    """Area under the insertion curve of the map minus that of random maps, likewise."""
    other_gain: Interval
    """Mean of both gains against the map of another case, as it is: what the map says beyond where findings lie."""


class Randomised(Section, frozen=True, kw_only=True):
    """Adebayo et al.: a map that survives random weights shows the image and not what the network has learnt."""

    cases: int
    stages: int
    """Last stages of the backbone whose weights were drawn anew, with the head's."""
    correlation: float
    """Mean absolute rank correlation with the network's own map."""


class Stability(Section, frozen=True, kw_only=True):
    """The map of one INT8 graph against the float graph's."""

    variant: str
    sha256: str
    """Digest of the graph."""
    cases: int
    correlation: float
    """Mean rank correlation."""
    same_zone: float | None
    """Share of the cases in which both name the same zone, or both none; None without zones."""


class Explanation(Section, frozen=True, kw_only=True):
    """Everything that was found about a run's map."""

    method: int = METHOD
    inputs_sha256: str
    """Digest of the run's files that the graphs were made from."""
    rows: int
    columns: int
    """Cells of the map."""
    obstacle: str
    """Why it could not be checked, in words; empty where it could."""
    calibration: Faithfulness | None = None
    """Decides."""
    validation: Faithfulness | None = None
    """Is reported only; None where too few validation cases are called positive."""
    randomised: Randomised | None = None
    stability: tuple[Stability, ...] = ()

    def refusals(self, int8: Iterable[str]) -> tuple[str, ...]:
        """Say why a bundle with these INT8 graphs shows no map, in words; nothing when it passed."""
        if self.obstacle or self.calibration is None or self.randomised is None:
            return (self.obstacle or "it was not checked",)
        gains = {"taking away": self.calibration.deletion_gain, "adding": self.calibration.insertion_gain}
        told = [
            f"{name} what it shows moves the probability no more than what random maps show does"
            for name, gain in gains.items()
            if not gain.low > 0
        ]
        if not self.randomised.correlation <= CHANGED:
            told.append(
                f"random weights leave it nearly as it is (rank correlation {self.randomised.correlation:.2f}; "
                f"{CHANGED:g} is allowed)"
            )
        known = {one.variant: one for one in self.stability}
        return (*told, *(text for name in int8 for text in _unstable(name, known.get(name))))


def _unstable(name: str, found: Stability | None) -> list[str]:
    if found is None:
        return [f"that of {name} was not checked"]
    told = []
    if not found.correlation >= STABLE:
        told.append(f"{name} draws another one (rank correlation {found.correlation:.2f}; {STABLE:g} is needed)")
    if found.same_zone is not None and not found.same_zone >= SAME_ZONE:
        told.append(f"{name} names the same zone in {found.same_zone:.0%} of the cases only ({SAME_ZONE:.0%} needed)")
    return told


def current_explanation(run: RunFolder) -> Explanation | None:
    """What was found about the map of the run as it is now; None where that was not checked by this version."""
    path = run.path / FILE
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Explanation)
    except msgspec.DecodeError:
        return None
    from aidpost_export.variant_record import inputs_digest  # brings the quantiser: seconds

    return found if found.method == METHOD and found.inputs_sha256 == inputs_digest(run) else None


def write_explanation(run: RunFolder, found: Explanation) -> None:
    """Keep what was found."""
    run.write_json(FILE, found)
