"""Cuts part no patient, keep the classes' proportions, repeat by seed and nest by limit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidpost_export.errors import DatasetError
from aidpost_export.recipe import Recipe, load_recipe
from aidpost_export.roles import LEAST, assign_roles
from aidpost_export.split import Share, deal, group_rows, joined, order_evenly

PARTS = ("fit", "tuning", "calibration")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("cxr-pneumonia").recipe


def patients(count: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Targets (N, 1) and patients of one to six rows each, a third of the rows positive."""
    rng = np.random.default_rng(seed)
    keys = [patient for patient in range(count) for _ in range(int(rng.integers(1, 7)))]
    return (rng.random((len(keys), 1)) < 1 / 3).astype(np.float32), keys


def test_rows_that_share_a_group_or_a_patient_belong_together_also_in_a_chain() -> None:
    groups = ["g1", "g1", "g2", "", ""]
    people = ["a", "b", "b", "c", ""]
    assert joined(groups, people) == [0, 0, 0, 3, 4]


def test_empty_cells_join_nothing() -> None:
    assert joined(["", "", ""]) == [0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 120), st.integers(0, 2**31))
def test_dealing_keeps_patients_whole_and_shares_near(count: int, seed: int) -> None:
    targets, keys = patients(count, seed)
    classes = np.concatenate([targets, 1 - targets], axis=1)
    groups = group_rows(keys)
    shares = [Share(0.68), Share(0.12, 2), Share(0.2, 2)]
    parts = deal(groups, classes, shares, seed)
    assert parts == deal(groups, classes, shares, seed)
    for part, share in enumerate(shares):
        rows = np.concatenate([np.empty(0, int), *(g for g, own in zip(groups, parts, strict=True) if own == part)])
        assert abs(len(rows) / len(keys) - share.fraction) < 0.06
        assert abs(classes[rows].mean(0) - classes.mean(0)).max() < 0.12


def test_rows_that_a_part_has_already_count_for_its_share() -> None:
    classes = np.tile(np.eye(2, dtype=np.float32), (50, 1))
    shares = [Share(0.68), Share(0.12, 2), Share(0.2, 2)]
    new = [np.array([row]) for row in range(70, 100)]
    parts = deal(new, classes, shares, seed=0, settled=[range(60), range(60, 70), []])
    assert [parts.count(part) for part in range(3)] == [8, 2, 20]


def test_what_the_base_learnt_from_is_fit_on_whatever_the_limit(recipe: Recipe) -> None:
    targets, keys = patients(200, seed=6)
    learnt = [key < 100 for key in keys]
    for limit in (150, None):
        roles = assign_roles(targets, keys, [None] * len(keys), recipe, seed=0, limit=limit, learnt=learnt)
        assert {role for role, known in zip(roles, learnt, strict=True) if known} <= {"fit", None}
        assert {role for role, known in zip(roles, learnt, strict=True) if not known} >= {*PARTS, "validation"}


def test_any_first_part_of_the_order_holds_the_classes_in_proportion() -> None:
    targets, keys = patients(200, seed=5)
    classes = np.concatenate([targets, 1 - targets], axis=1)
    order = order_evenly(keys, classes, seed=1)
    assert sorted(order.tolist()) == list(range(len(keys)))
    for count in (30, 60, 120, 300):
        assert abs(classes[order[:count], 0].mean() - classes[:, 0].mean()) < 0.05


def test_every_patient_gives_a_row_of_a_class_before_any_gives_a_second() -> None:
    keys = [0] * 10 + list(range(1, 11))
    classes = np.ones((20, 1), np.float32)
    first = order_evenly(keys, classes, seed=0)[:11]
    assert sorted(keys[row] for row in first) == list(range(11))


def test_roles_part_no_patient_and_repeat_by_seed(recipe: Recipe) -> None:
    targets, keys = patients(150, seed=2)
    stated = [None] * len(keys)
    roles = assign_roles(targets, keys, stated, recipe, seed=7, limit=None)
    assert roles == assign_roles(targets, keys, stated, recipe, seed=7, limit=None)
    assert roles != assign_roles(targets, keys, stated, recipe, seed=8, limit=None)
    for role in (*PARTS, "validation"):
        mine = {key for key, own in zip(keys, roles, strict=True) if own == role}
        others = {key for key, own in zip(keys, roles, strict=True) if own not in (role, None)}
        assert mine
        assert not mine & others


def test_a_smaller_limit_takes_some_of_a_larger_ones_labels_and_the_same_validation(recipe: Recipe) -> None:
    targets, keys = patients(200, seed=3)
    used, validation = [], []
    for limit in (50, 100, 200):
        roles = assign_roles(targets, keys, [None] * len(keys), recipe, seed=0, limit=limit)
        used.append({row for row, role in enumerate(roles) if role in PARTS})
        validation.append([row for row, role in enumerate(roles) if role == "validation"])
        assert len(used[-1]) == limit
    assert all(small < large for small, large in pairwise(used))
    assert validation[0] == validation[1] == validation[2]


def test_stated_validation_and_test_rows_keep_their_role(recipe: Recipe) -> None:
    targets, keys = patients(100, seed=4)
    stated = ["validation" if key % 5 == 0 else "test" if key % 5 == 1 else None for key in keys]
    roles = assign_roles(targets, keys, stated, recipe, seed=0, limit=40)  # type: ignore[arg-type]
    assert all(role == own for role, own in zip(roles, stated, strict=True) if own)
    assert sum(role in PARTS for role in roles) == 40


def test_rare_findings_reach_tuning_and_calibration(recipe: Recipe) -> None:
    targets = np.zeros((300, 1), np.float32)
    targets[:6] = 1
    roles = assign_roles(
        targets, range(300), ["validation" if i > 280 else None for i in range(300)], recipe, seed=0, limit=None
    )
    for part in PARTS:
        assert sum(targets[i, 0] for i, role in enumerate(roles) if role == part) >= LEAST


def test_too_few_cases_of_a_finding_are_refused_with_the_number_needed(recipe: Recipe) -> None:
    targets = np.zeros((60, 1), np.float32)
    targets[:4] = 1
    with pytest.raises(DatasetError, match=r"'pneumonia'.*needs 2 of each") as error:
        assign_roles(targets, range(60), [None] * 60, recipe, seed=0, limit=None)
    assert "about 25 with 'pneumonia'" in error.value.hint
    assert "6 of each are the least" in error.value.hint
