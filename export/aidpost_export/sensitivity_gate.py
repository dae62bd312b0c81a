"""The gate on sensitivity: does an INT8 graph find as many of the ill as the float graph, in each group of people?

Both graphs read the same calibration cases, each at its own operating point, so only those with the finding whose
verdict changed can tell. Patients are resampled, and the lower end of the interval must not reach below the limit. One
patient more or less must not decide that, so with fewer than 1 / limit people with the finding nothing is judged.

Where no verdict changed, each resample says so too and the interval is [0, 0]: it proves that these cases lost nothing,
and not that others will not. With n people a loss of up to 3 / n would often have left no trace (rule of three; Hanley
and Lippman-Hand, JAMA 1983). `unseen` says so beside the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from aidpost_export.recipe import Gates
from aidpost_export.resampling import Bootstrap
from aidpost_export.statistics import Interval


class SensitivityChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One finding's sensitivity by an INT8 graph minus that by the float graph, over all or in one group."""

    label: str
    column: str = ""
    value: str = ""
    """The group; both empty for all people."""
    positives: int
    """Calibration cases with the finding."""
    patients: int
    """People with it: scans of one person are one witness."""
    lost: int
    """Of them found by the float graph and not by this one."""
    gained: int
    change: Interval | None
    """None where the cases are too few to judge."""
    allowed: float
    """Fall that the interval may reach."""

    @property
    def subject(self) -> str:
        """Whom it is about, in words."""
        return f"{self.column} {self.value}" if self.column else "all"

    @property
    def refused(self) -> bool:
        """Whether more may be lost than is allowed."""
        return self.change is not None and self.change.low < -self.allowed - 1e-9

    @property
    def unseen(self) -> float:
        """Loss that would often have left no trace in these cases; 0 where some verdict changed."""
        return 3 / self.patients if self.patients and not self.lost + self.gained else 0.0

    @property
    def words(self) -> str:
        """What the gate says."""
        moved = f"{self.lost} of {self.positives} lost, {self.gained} gained"
        if self.change is None:
            told = f"{self.subject}: not judged: {self.patients} people with it, {fewest(self.allowed)} are needed"
            return f"{told}; {moved}" if self.lost + self.gained else told
        told = f"{self.subject}: {moved}"
        if self.unseen:
            return f"{told} (a loss of up to {self.unseen:.1%} could show nothing)"
        return f"{told}, {100 * self.change.value:+.1f} points (down to {100 * self.change.low:+.1f})"


def fewest(limit: float) -> int:
    """Fewest people with the finding for which a fall by the limit is more than one of them."""
    return math.ceil(1 / limit - 1e-9)


def sensitivity_changes(
    label: str,
    before: NDArray[np.bool_],  # (N,)
    after: NDArray[np.bool_],  # (N,)
    target: NDArray[np.float32],  # (N,) in {0, 1}
    patients: NDArray[np.str_],  # (N,)
    groups: Mapping[str, Sequence[str]],
    gates: Gates,
) -> tuple[SensitivityChange, ...]:
    """Compare the verdicts of two graphs on the same cases: over all first, then in each group of each column."""
    positive = target > 0
    change = (after.astype(np.int64) - before)[positive]  # (P,) in {-1, 0, 1}
    people = patients[positive]
    found = [_judge(label, "", "", change, people, gates.sensitivity_loss)]
    for column, values in groups.items():
        names = np.array(values)[positive]
        if len({*values}) > 1:
            for name in filter(None, np.unique(names)):
                own = names == name
                found.append(_judge(label, column, str(name), change[own], people[own], gates.group_sensitivity_loss))
    return tuple(found)


def _judge(
    label: str, column: str, value: str, change: NDArray[np.int64], patients: NDArray[np.str_], allowed: float
) -> SensitivityChange:
    people = len(np.unique(patients))
    judged = people >= fewest(allowed)
    return SensitivityChange(
        label=label,
        column=column,
        value=value,
        positives=change.size,
        patients=people,
        lost=int((change < 0).sum()),
        gained=int((change > 0).sum()),
        change=_interval(change, patients) if judged else None,
        allowed=allowed,
    )


def _interval(change: NDArray[np.int64], patients: NDArray[np.str_]) -> Interval:
    """Mean change with its interval by patients."""
    value = float(change.mean())
    if not change.any():
        return Interval(value=0.0, low=0.0, high=0.0)
    edges = Bootstrap(patients, np.zeros(change.size)).intervals(
        lambda weights: (weights @ change / weights.sum(axis=1))[:, None]
    )
    return Interval(value=value, low=min(value, float(edges[0, 0])), high=max(value, float(edges[1, 0])))
