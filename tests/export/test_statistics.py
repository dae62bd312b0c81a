"""Statistics against scikit-learn, textbook values and simulated coverage."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.proportions import (
    Confusion,
    Z,
    confusion,
    design_effect,
    predictive_values,
    rates,
    share,
    wilson,
)
from aidpost_export.resampling import (
    Bootstrap,
    auroc_difference,
    auroc_interval,
    calibration_intervals,
    macro_auroc_interval,
    witnesses,
)
from aidpost_export.statistics import (
    auroc,
    bounded_auroc,
    brier,
    calibration_error,
    chance_calibration_error,
    mass_bins,
    rank_correlation,
    reliability,
    weighted_auroc,
)

SCORES = st.lists(
    st.tuples(st.integers(0, 8).map(lambda i: i / 8), st.booleans(), st.integers(1, 4)), min_size=2, max_size=40
).filter(lambda rows: len({row[1] for row in rows}) == 2)
"""Rows of (score with many ties, target, weight) with both classes."""


def draw(generator: np.random.Generator, cases: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores of two classes whose means lie `apart` standard deviations from each other."""
    target = np.arange(cases) % 2
    return generator.normal(size=cases) + apart * target, target


# ---- AUROC ----------------------------------------------------------------------------------------------------------


@given(SCORES)
def test_auroc_agrees_with_scikit_learn_ties_included(rows: list[tuple[float, bool, int]]) -> None:
    score, target, weight = map(np.array, zip(*rows, strict=True))
    assert auroc(score, target) == pytest.approx(roc_auc_score(target, score))
    weighted = weighted_auroc(score, target, weight[None].astype(float))
    assert weighted[0] == pytest.approx(roc_auc_score(target, score, sample_weight=weight))


@pytest.mark.parametrize(
    ("score", "target"),
    [([0.1, 0.9], [1, 1]), ([0.1, 0.9], [0, 0]), ([], []), ([float("nan"), 0.2], [0, 1])],
    ids=["no negative", "no positive", "no case", "a score that is no number"],
)
def test_an_auroc_that_cannot_be_computed_is_none(score: list[float], target: list[int]) -> None:
    assert auroc(score, target) is None
    assert auroc_interval(score, target, np.arange(len(score))) is None
    assert auroc_difference(score, score, target, np.arange(len(score))) is None


def test_the_interval_of_a_perfect_auroc_does_not_claim_certainty() -> None:
    target = np.repeat([0, 1], 20)
    interval = auroc_interval(target.astype(float), target, np.arange(40))
    assert interval is not None
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert 0.88 < interval.low < 0.92


@pytest.mark.parametrize("value", [0.62, 0.9, 1.0])
def test_newcombes_bounds_solve_their_equation(value: float) -> None:
    positives, negatives = 30, 50
    half = (positives + negatives) / 2 - 1
    interval = bounded_auroc(value, positives, negatives)
    for x in {interval.low, interval.high} - {1.0}:
        variance = x * (1 - x) * (1 + half * (1 - x) / (2 - x) + half * x / (1 + x)) / (positives * negatives)
        assert abs(value - x) == pytest.approx(Z * np.sqrt(variance), rel=1e-6)


# ---- the bootstrap --------------------------------------------------------------------------------------------------


def test_copies_of_a_patients_scan_bring_no_certainty() -> None:
    score, target = draw(np.random.default_rng(3), 60, 1.0)
    once = auroc_interval(score, target, np.arange(60))
    copied = auroc_interval(np.repeat(score, 5), np.repeat(target, 5), np.repeat(np.arange(60), 5))
    assert once is not None and copied is not None
    assert (copied.value, copied.low, copied.high) == pytest.approx((once.value, once.low, once.high), abs=1e-9)


def test_resamples_draw_whole_patients_within_strata() -> None:
    patients, target = np.array(["a", "a", "b", "c", "c", "d"]), np.array([1, 0, 1, 0, 0, 0])
    for weights in Bootstrap(patients, target, count=200).weights():
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 3] == weights[:, 4]).all()
        assert (weights[:, 0] + weights[:, 2] == 2).all(), "as many patients with the finding as there are"
        assert (weights[:, 3] + weights[:, 5] == 2).all()


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    score, target = draw(np.random.default_rng(4), 80, 1.0)
    patients = np.arange(80)
    assert auroc_interval(score, target, patients) == auroc_interval(score, target, patients)
    assert auroc_interval(score, target, patients) != auroc_interval(score, target, patients, seed=1)


@pytest.mark.parametrize(
    ("positives", "negatives", "apart", "most"),
    [(50, 50, np.sqrt(2), 0.985), (10, 60, 0.8, 1.0), (10, 60, 2.5, 1.0), (15, 15, 2.0, 1.0), (16, 24, 1.75, 1.0)],
)
def test_auroc_intervals_cover_the_truth(positives: int, negatives: int, apart: float, most: float) -> None:
    """With few cases they may cover it too often, never too rarely."""
    generator = np.random.default_rng(5)
    target = np.repeat([1, 0], [positives, negatives])
    covered = 0
    for _ in range(200):
        score = generator.normal(size=target.size) + apart * target
        interval = auroc_interval(score, target, np.arange(target.size), count=300)
        assert interval is not None
        covered += interval.low <= NormalDist().cdf(apart / np.sqrt(2)) <= interval.high
    assert 0.93 <= covered / 200 <= most


@pytest.mark.parametrize(("people", "alike"), [((8, 12), 0.9), ((8, 12), 0.5), ((15, 25), 0.0)])
def test_auroc_intervals_of_patients_with_several_scans_cover_the_truth(people: tuple[int, int], alike: float) -> None:
    generator = np.random.default_rng(17)
    target, patients = np.repeat(np.repeat([1, 0], people), 3), np.repeat(np.arange(sum(people)), 3)
    covered = 0
    for _ in range(200):
        own, each = generator.normal(size=sum(people)), generator.normal(size=target.size)
        score = np.sqrt(alike) * own[patients] + np.sqrt(1 - alike) * each + 2 * target
        interval = auroc_interval(score, target, patients, count=300)
        assert interval is not None
        covered += interval.low <= NormalDist().cdf(2 / np.sqrt(2)) <= interval.high
    assert covered / 200 >= 0.93


def test_intervals_of_a_difference_cover_the_truth_with_few_positives() -> None:
    generator = np.random.default_rng(15)
    target = np.repeat([1, 0], [10, 60])
    truth = NormalDist().cdf(2.5 / np.sqrt(2)) - NormalDist().cdf(2.0 / np.sqrt(2))
    covered = 0
    for _ in range(200):
        seen, other = generator.normal(size=(2, target.size))
        better, worse = seen + 2.5 * target, 0.8 * seen + 0.6 * other + 2.0 * target
        gain = auroc_difference(better, worse, target, np.arange(target.size), count=300)
        assert gain is not None
        covered += gain.low <= truth <= gain.high
    assert covered / 200 >= 0.93


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    generator = np.random.default_rng(6)
    score, target = draw(generator, 200, 1.0)
    better = score + 0.4 * target + generator.normal(size=200) * 0.1
    patients = np.arange(200)
    gain = auroc_difference(better, score, target, patients)
    first, second = auroc_interval(better, target, patients), auroc_interval(score, target, patients)
    assert gain is not None and first is not None and second is not None
    assert gain.value == pytest.approx(first.value - second.value)
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < (second.high - second.low) * 0.7


def test_a_score_compared_with_itself_differs_by_nothing() -> None:
    score, target = draw(np.random.default_rng(7), 50, 1.0)
    gain = auroc_difference(score, score, target, np.arange(50))
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)


def test_two_perfect_scores_may_still_differ() -> None:
    generator, target = np.random.default_rng(16), np.repeat([0, 1], 20)
    first, second = target + generator.random((2, 40)) / 2
    gain = auroc_difference(first, second, target, np.arange(40))
    assert gain is not None
    assert gain.value == 0.0
    assert -0.12 < gain.low < -0.03
    assert gain.high == pytest.approx(-gain.low)


def test_scores_that_order_each_kind_alike_go_together() -> None:
    target = np.array([0, 0, 0, 1, 1, 1])
    assert rank_correlation([1, 2, 3, 4, 5, 6], [10, 20, 30, 1, 2, 3], target) == 1.0
    assert rank_correlation([1, 2, 3, 4, 5, 6], [3, 2, 1, 3, 2, 1], target) == -1.0
    assert rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 3, 3, 2, 1], target) == 0.0
    assert rank_correlation([1, 1, 1, 2, 2, 2], [1, 1, 1, 4, 5, 6], target) == 0.5, "one order is known, one is not"


def test_macro_auroc_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(8)
    truth = generator.integers(3, size=150)
    scores = generator.random((150, 3)) + 0.4 * np.eye(3)[truth]
    scores /= scores.sum(1, keepdims=True)
    interval = macro_auroc_interval(scores, np.eye(3)[truth], np.arange(150))
    assert interval is not None
    assert interval.value == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr"))
    assert interval.low < interval.value < interval.high


def test_the_interval_of_a_perfect_macro_auroc_does_not_claim_certainty() -> None:
    targets = np.eye(3)[np.arange(60) % 3]
    interval = macro_auroc_interval(targets, targets, np.arange(60))
    assert interval is not None
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert 0.92 < interval.low < 0.97


def test_macro_auroc_without_a_class_is_none() -> None:
    targets = np.eye(3)[[0, 1, 0, 1]]
    assert macro_auroc_interval(np.full((4, 3), 1 / 3), targets, np.arange(4)) is None


def test_witnesses_are_patients_as_far_as_their_scans_are_alike() -> None:
    target, people = [1, 1, 1, 1, 0, 0, 0, 0], ["a", "a", "b", "b", "c", "c", "d", "d"]
    assert witnesses([5, 5, 3, 3, 4, 4, 2, 2], target, people) == (2, 2), "alike"
    assert witnesses([5, 3, 5, 3, 4, 2, 4, 2], target, people) == (4, 4), "as different as those of other patients"
    assert witnesses([9, 8, 7, 6, 4, 3, 2, 1], target, people) == (2, 2), "nothing can be seen"
    assert witnesses([5, 3, 5, 3, 4, 2, 4, 2], target, list("abcdefgh")) == (4, 4)


# ---- proportions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Stat Med 1998, table I, method 3."""
    estimate = wilson(successes, trials)
    assert estimate is not None
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_stays_within_the_scale_and_around_its_value(successes: int, more: int) -> None:
    estimate = wilson(successes, successes + more)
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_nothing_can_be_said_of_no_trials() -> None:
    assert wilson(0, 0) is None
    assert share([], []) is None


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, (2, 1, 1, 2)), (0.7, (2, 1, 1, 2)), (0.70001, (1, 2, 1, 2)), (0.0, (3, 0, 3, 0)), (1.0, (0, 3, 0, 3))],
)
def test_confusion_counts_by_hand(threshold: float, expected: tuple[int, int, int, int]) -> None:
    counts = confusion([0.9, 0.7, 0.3, 0.8, 0.2, 0.1], [1, 1, 1, 0, 0, 0], threshold)
    names = ("true_positives", "false_negatives", "false_positives", "true_negatives")
    assert counts == Confusion(**dict(zip(names, expected, strict=True)))


def test_a_probability_at_the_threshold_refers() -> None:
    assert confusion([0.5], [1], 0.5).true_positives == 1


def test_rates_are_those_of_the_counts() -> None:
    sensitivity, specificity = rates([0.9, 0.7, 0.3, 0.8, 0.2, 0.1], [1, 1, 1, 0, 0, 0], 0.5)
    assert sensitivity == wilson(2, 3)
    assert specificity == wilson(2, 3)


def test_copies_of_a_patients_scan_do_not_narrow_a_share() -> None:
    hit = np.array([1, 1, 0, 1, 0, 1, 1, 1, 0, 1])
    once, copied = share(hit, np.arange(10)), share(np.repeat(hit, 6), np.repeat(np.arange(10), 6))
    assert once is not None and copied is not None
    assert copied.value == pytest.approx(once.value)
    assert copied.high - copied.low >= once.high - once.low


def test_where_all_cases_agree_each_patient_counts_once() -> None:
    assert share(np.ones(60), np.repeat(np.arange(20), 3)) == wilson(20, 20)


def test_independent_cases_have_no_design_effect() -> None:
    assert design_effect(np.array([1.0, 0.0, 1.0]), np.array(["a", "b", "c"])) == 1.0


def test_shares_of_clustered_cases_cover_the_truth_where_plain_ones_do_not() -> None:
    generator = np.random.default_rng(9)
    patients = np.repeat(np.arange(40), 8)
    clustered = plain = 0
    for _ in range(400):
        chance = generator.beta(3.5, 1.5, size=40)[patients]  # patients differ; the mean is 0.7
        hit = generator.random(patients.size) < chance
        wide, narrow = share(hit, patients), wilson(int(hit.sum()), hit.size)
        assert wide is not None and narrow is not None
        clustered += wide.low <= 0.7 <= wide.high
        plain += narrow.low <= 0.7 <= narrow.high
    assert 0.91 <= clustered / 400 <= 0.98
    assert plain / 400 < 0.88


# ---- predictive values ----------------------------------------------------------------------------------------------


def around(value: float) -> Estimate:
    """An estimate with some interval."""
    return Estimate(value=value, low=max(0.0, value - 0.05), high=min(1.0, value + 0.05))


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "positive", "negative"),
    [
        (0.9, 0.9, 0.1, 0.5, 0.9878),
        (0.9, 0.9, 0.5, 0.9, 0.9),
        (1.0, 0.5, 0.02, 0.0392, 1.0),
        (0.5, 1.0, 0.02, 1.0, 0.9899),
    ],
)
def test_predictive_values_by_bayes_rule(
    sensitivity: float, specificity: float, prevalence: float, positive: float, negative: float
) -> None:
    worth = predictive_values(around(sensitivity), around(specificity), prevalence)
    assert worth.positive is not None and worth.negative is not None
    assert worth.positive.value == pytest.approx(positive, abs=1e-4)
    assert worth.negative.value == pytest.approx(negative, abs=1e-4)
    for estimate in (worth.positive, worth.negative):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high


def test_predictive_values_that_do_not_exist_are_none() -> None:
    nobody = predictive_values(around(0.0), around(1.0), 0.1)
    everybody = predictive_values(around(1.0), around(0.0), 0.1)
    assert nobody.positive is None and nobody.negative is not None
    assert everybody.negative is None and everybody.positive is not None
    assert predictive_values(None, around(0.5), 0.1).positive is None


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.8), (0.95, 0.97)])
def test_intervals_of_predictive_values_cover_the_truth(sensitivity: float, specificity: float) -> None:
    generator, prevalence = np.random.default_rng(10), 0.05
    exact = Estimate(value=sensitivity, low=0, high=1), Estimate(value=specificity, low=0, high=1)
    truth = predictive_values(*exact, prevalence)
    assert truth.positive is not None and truth.negative is not None
    positive = negative = 0
    for _ in range(1000):
        hits, clear = generator.binomial(100, sensitivity), generator.binomial(150, specificity)
        worth = predictive_values(wilson(hits, 100), wilson(clear, 150), prevalence)
        assert worth.positive is not None and worth.negative is not None
        positive += worth.positive.low <= truth.positive.value <= worth.positive.high
        negative += worth.negative.low <= truth.negative.value <= worth.negative.high
    assert 0.92 <= positive / 1000 <= 0.985
    assert 0.92 <= negative / 1000 <= 0.985


# ---- calibration ----------------------------------------------------------------------------------------------------


def test_brier_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(11)
    probability, target = generator.random(50), generator.integers(2, size=50)
    assert brier(probability, target) == pytest.approx(brier_score_loss(target, probability))


def test_calibration_error_by_hand() -> None:
    probability = np.repeat([0.2, 0.6], 10)
    target = np.array([1, *[0] * 9, *[1] * 9, 0])  # found 0.1 and 0.9
    assert calibration_error(probability, target) == pytest.approx(0.5 * 0.1 + 0.5 * 0.3)


def test_figures_of_no_cases_are_none() -> None:
    assert brier([], []) is None
    assert calibration_error([], []) is None
    assert chance_calibration_error([], seed=0) is None
    assert calibration_intervals([], [], []) is None
    assert reliability([], []) == ()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_bins_keep_ties_together_and_the_order(values: list[int]) -> None:
    probability = np.array(values) / 20
    bins = mass_bins(probability)
    assert set(bins) == set(range(bins.max() + 1)), "no bin is empty"
    order = np.argsort(probability, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()
    for value in set(values):
        assert len(set(bins[probability == value / 20])) == 1


def test_bins_of_distinct_values_hold_equal_mass() -> None:
    counts = np.bincount(mass_bins(np.random.default_rng(12).random(200)))
    assert list(counts) == [20] * 10


def test_chance_calibration_error_is_what_calibrated_probabilities_show() -> None:
    generator = np.random.default_rng(13)
    probability = generator.random(120)
    errors = [calibration_error(probability, generator.random(120) < probability) for _ in range(300)]
    chance = chance_calibration_error(probability, seed=0)
    assert chance is not None
    assert chance.value == pytest.approx(np.mean(np.array(errors, float)), rel=0.05)
    assert chance.low < chance.value < chance.high


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_calibration_intervals_hold_their_values(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probability = generator.random(40)
    target = (generator.random(40) < probability).astype(int)
    found = calibration_intervals(probability, target, np.arange(40), count=200)
    assert found is not None
    for interval, value in zip(
        found, (brier(probability, target), calibration_error(probability, target)), strict=True
    ):
        assert interval.value == value
        assert interval.low <= interval.value <= interval.high


def test_reliability_bins_count_every_case() -> None:
    generator = np.random.default_rng(14)
    probability = generator.random(95)
    target = generator.random(95) < probability
    bins = reliability(probability, target)
    assert sum(b.cases for b in bins) == 95
    assert sum(round(b.observed * b.cases) for b in bins) == target.sum()
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    assert all(b.low <= b.observed <= b.high for b in bins)
