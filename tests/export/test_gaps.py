"""Gaps between groups: what they are, whether chance explains them, and that patients are the witnesses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from aidpost_export.figures import Gap, GroupFigures
from aidpost_export.gaps import adjust, gap, holm, permutation_p


def table(hits: int, group: int, other_hits: int, others: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Cases of a group and of everybody else, of which so many succeed."""
    hit = np.repeat([True, False, True, False], [hits, group - hits, other_hits, others - other_hits])
    return hit, np.repeat([True, False], [group, others])


def alone(count: int) -> NDArray[np.str_]:
    """Each case a patient of its own."""
    return np.arange(count).astype(str)


def test_the_interval_is_newcombes() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80.
    hit, inside = table(56, 70, 48, 80)
    found = gap(hit, inside, alone(150))
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize("counts", [(8, 20, 30, 35), (3, 10, 40, 60), (10, 10, 30, 40), (5, 10, 20, 40)])
def test_with_a_scan_each_the_test_is_the_exact_one(counts: tuple[int, int, int, int]) -> None:
    hit, inside = table(*counts)
    hits, group, other_hits, others = counts
    exact = fisher_exact([[hits, group - hits], [other_hits, others - other_hits]]).pvalue
    # Fisher's test orders tables by their chance and this one by the gap, so the far tail may differ.
    one_sided = min(
        fisher_exact([[hits, group - hits], [other_hits, others - other_hits]], side).pvalue
        for side in ("less", "greater")
    )
    p = permutation_p(hit, inside, alone(hit.size))
    assert one_sided - 0.02 <= p <= max(exact, 2 * one_sided) + 0.02


def test_scans_of_one_patient_are_one_witness() -> None:
    hit, inside = table(10, 40, 38, 40)
    clusters = (np.arange(80) // 10).astype(str)
    single, clustered = gap(hit, inside, alone(80)), gap(hit, inside, clusters)
    assert single is not None and clustered is not None
    assert single.value == pytest.approx(clustered.value)
    assert clustered.low < single.low and clustered.high > single.high
    assert single.p < 0.001 < 0.05 < clustered.p, "of eight patients, seventy ways to choose four"


def test_chance_alone_is_called_more_than_chance_as_rarely_as_it_must() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        sizes = generator.integers(1, 6, 40)
        patients = np.repeat(np.arange(40), sizes)
        often = generator.beta(3, 1, 40)[patients]  # scans of one patient succeed alike
        inside = (generator.random(40) < 0.4)[patients]
        found.append(permutation_p(generator.random(patients.size) < often, inside, patients.astype(str)))
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(np.array(found) <= 0.5) > 0.3, "and not so rarely that nothing would ever be found"


def test_a_patient_on_both_sides_is_nobody_to_compare_with_alone() -> None:
    hit, inside = np.array([True, False] * 20), np.array([True, False] * 20)
    found = gap(hit, inside, np.repeat(np.arange(20), 2).astype(str))
    assert found is not None
    assert (found.value, found.p < 0.001) == (1.0, True)


@pytest.mark.parametrize("inside", [np.ones(5, bool), np.zeros(5, bool)])
def test_without_anybody_else_there_is_no_gap(inside: NDArray[np.bool_]) -> None:
    assert gap(np.ones(5, bool), inside, alone(5)) is None


def test_the_same_cases_always_give_the_same_p() -> None:
    hit, inside = table(8, 20, 30, 35)
    assert permutation_p(hit, inside, alone(55)) == permutation_p(hit, inside, alone(55))


# ---- many groups ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.01], [0.5, 0.02]),
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm_by_hand(p: list[float], adjusted: list[float]) -> None:
    assert holm(p) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_is_never_kinder(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= min(1, len(p) * before + 1e-12) for before, after in zip(p, adjusted, strict=True))
    assert np.array_equal(np.argsort(p, kind="stable"), np.argsort(adjusted, kind="stable")) or len({*adjusted}) < len(
        p
    )


def test_sensitivity_and_specificity_are_corrected_apart() -> None:
    def group(p: float | None, q: float | None) -> GroupFigures:
        gaps = [None if one is None else Gap(value=0.1, low=0, high=0.2, p=one, adjusted=one) for one in (p, q)]
        return GroupFigures(
            column="sex",
            value="F",
            cases=9,
            positives=3,
            patients=9,
            auroc=None,
            sensitivity=None,
            specificity=None,
            sensitivity_gap=gaps[0],
            specificity_gap=gaps[1],
        )

    adjusted = adjust([group(0.01, 0.2), group(None, 0.01), group(0.03, None), group(0.02, None)])
    assert [one.sensitivity_gap and one.sensitivity_gap.adjusted for one in adjusted] == [0.03, None, 0.04, 0.04]
    assert [one.specificity_gap and one.specificity_gap.adjusted for one in adjusted] == [0.2, 0.02, None, None]
