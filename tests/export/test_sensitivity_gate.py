"""The gate on sensitivity: it refuses what loses the ill, judges nothing from few cases, and says which it was."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from aidpost_export.recipe import Gates
from aidpost_export.sensitivity_gate import SensitivityChange, fewest, sensitivity_changes

GATES = Gates()


def changes(
    positives: int, lost: int = 0, gained: int = 0, each: int = 1, groups: dict[str, list[str]] | None = None
) -> tuple[SensitivityChange, ...]:
    """Judge two graphs on as many ill cases and 30 well ones; patients have `each` scans."""
    before = np.ones(positives + 30, bool)
    before[positives - gained :] = False
    after = before.copy()
    after[:lost], after[positives - gained : positives] = False, True
    after[positives:] = True  # what becomes of the well is no matter of this gate
    target = np.repeat([1, 0], [positives, 30]).astype(np.float32)
    patients = (np.arange(positives + 30) // each).astype(str)
    return sensitivity_changes("opacity", before, after, target, patients, groups or {}, GATES)


@pytest.mark.parametrize(("limit", "cases"), [(0.01, 100), (0.02, 50), (0.005, 200), (0.03, 34)])
def test_one_case_never_decides(limit: float, cases: int) -> None:
    assert fewest(limit) == cases


@pytest.mark.parametrize(
    ("positives", "lost", "gained", "refused"),
    [
        (99, 0, 0, None),
        (99, 20, 0, None),
        (100, 0, 0, False),
        (100, 1, 0, True),
        (100, 0, 4, False),
        (400, 1, 0, False),
        (400, 4, 4, True),
        (2000, 4, 4, False),
    ],
)
def test_the_end_of_the_interval_decides(positives: int, lost: int, gained: int, refused: bool | None) -> None:
    (whole,) = changes(positives, lost, gained)
    assert (whole.positives, whole.lost, whole.gained) == (positives, lost, gained)
    assert (None if whole.change is None else whole.refused) == refused
    if whole.change:
        assert whole.change.low <= whole.change.value == pytest.approx((gained - lost) / positives)


def test_what_few_cases_cannot_tell_is_no_pass_and_no_refusal() -> None:
    (whole,) = changes(42)
    assert whole.change is None and not whole.refused
    assert whole.words == "all: not judged: 42 people with it, 100 are needed"


def test_that_nothing_changed_says_how_much_could_be_lost_unseen() -> None:
    (whole,) = changes(150)
    assert whole.change is not None and (whole.change.low, whole.change.high) == (0.0, 0.0)
    assert whole.unseen == pytest.approx(0.02)
    assert "a loss of up to 2.0% could show nothing" in whole.words
    (other,) = changes(150, lost=1, gained=1)
    assert other.unseen == 0


def test_scans_of_one_patient_widen_the_interval() -> None:
    (single,), (clustered,) = changes(400, lost=4, gained=8), changes(400, lost=4, gained=8, each=4)
    assert single.change is not None and clustered.change is not None
    assert clustered.change.low < single.change.low


def test_many_scans_of_few_people_are_not_judged() -> None:
    (whole,) = changes(100, lost=4, each=50)
    assert (whole.positives, whole.patients) == (100, 2)
    assert whole.change is None and not whole.refused


def test_each_group_is_judged_by_its_own_limit() -> None:
    sex = ["F"] * 60 + ["M"] * 139 + [""] + ["F", "M"] * 15
    found = {one.subject: one for one in changes(200, lost=5, groups={"sex": sex, "site": ["clinic"] * 230})}
    assert set(found) == {"all", "sex F", "sex M"}, "nobody is compared by what is alike or not stated"
    assert (found["sex F"].positives, found["sex M"].positives) == (60, 139)
    assert found["sex F"].refused and not found["sex M"].refused
    assert {one.allowed for one in found.values()} == {0.01, 0.02}


def test_a_group_of_one_lost_case_in_twenty_is_not_judged() -> None:
    sex = ["F"] * 20 + ["M"] * 180 + ["M"] * 30
    found = {one.subject: one for one in changes(200, lost=1, groups={"sex": sex})}
    assert found["sex F"].words == "sex F: not judged: 20 people with it, 50 are needed; 1 of 20 lost, 0 gained"


@pytest.mark.parametrize(
    ("key", "value"),
    [("auroc_loss", 0.006), ("flips", 0.02), ("sensitivity_loss", 0.02), ("group_sensitivity_loss", 0.03)],
)
def test_a_clinic_may_tighten_the_limits_and_not_loosen_them(key: str, value: Any) -> None:
    assert msgspec.convert({key: value / 10}, Gates)
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert({key: value}, Gates)
