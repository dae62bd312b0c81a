"""Temperature and threshold: they keep their promise on the cases they were chosen on."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.calibration.proportions import confusion
from aidpost_device.calibration.threshold import choose_threshold, operating_point, positives_needed
from aidpost_device.errors import CalibrationError
from aidpost_export.calibrate import TEMPERATURE, fit_temperature, probabilities
from aidpost_export.statistics import auroc

SCORED = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60).filter(
    lambda rows: any(row[1] for row in rows)
)
"""Rows of (probability, target) with at least one positive."""
TARGETS = st.sampled_from([0.55, 0.7, 0.8, 0.9, 0.95, 0.99])


def calibrated(generator: np.random.Generator, cases: int, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) of a softmax and targets drawn from its probabilities."""
    logits = generator.normal(size=(cases, kinds)) * 2
    chance = probabilities(logits, np.ones(kinds), "softmax").astype(float)
    drawn = (generator.random((cases, 1)) < chance.cumsum(1)).argmax(1)
    return logits, np.eye(kinds)[drawn]


# ---- temperature ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_overconfidence_finding_by_finding(overconfidence: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(4000, 2)) * 2
    targets = (generator.random((4000, 2)) < probabilities(logits, [1.0, 1.0], "sigmoid")).astype(float)
    fitted = fit_temperature(logits * [overconfidence, 1.0], targets, "sigmoid")
    assert fitted == pytest.approx([overconfidence, 1.0], rel=0.08)


@pytest.mark.parametrize("overconfidence", [0.5, 3.0])
def test_a_softmax_has_one_temperature_for_all(overconfidence: float) -> None:
    logits, targets = calibrated(np.random.default_rng(2), 4000, 4)
    fitted = fit_temperature(logits * overconfidence, targets, "softmax")
    assert fitted.shape == (4,)
    assert len(set(fitted)) == 1
    assert fitted[0] == pytest.approx(overconfidence, rel=0.08)


def test_no_other_temperature_makes_the_targets_likelier() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(500, 1)) * 3
    targets = (generator.random((500, 1)) < 1 / (1 + np.exp(-logits / 2))).astype(float)
    positives, negatives = targets.sum(), 500 - targets.sum()
    soft = np.where(targets > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.sum(np.logaddexp(0, scaled) - soft * scaled))

    fitted = float(fit_temperature(logits, targets, "sigmoid")[0])
    assert loss(fitted) <= min(loss(fitted * factor) for factor in (0.9, 0.99, 0.999, 1.001, 1.01, 1.1))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_separable_cases_do_not_ask_for_certainty(activation: str) -> None:
    truth = np.arange(20) % 2
    targets = np.eye(2)[truth] if activation == "softmax" else truth[:, None]
    logits = 10.0 * targets - 5
    temperature = fit_temperature(logits, targets, activation)  # type: ignore[arg-type]
    highest = probabilities(logits, temperature, activation).max()  # type: ignore[arg-type]
    assert highest == pytest.approx(11 / 12, abs=1e-3), "Platt's target for ten positives"


@pytest.mark.parametrize("targets", [[0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
def test_the_temperature_stays_within_its_limits(targets: list[int]) -> None:
    for logits in ([9.0, -9.0, 9.0, -9.0], [0.0, 0.0, 0.0, 0.0], [1e-6, 2e-6, 0, 3e-6]):
        fitted = fit_temperature(np.array(logits)[:, None], np.array(targets)[:, None], "sigmoid")
        assert TEMPERATURE[0] * 0.999 <= fitted[0] <= TEMPERATURE[1] * 1.001


@given(st.lists(st.tuples(st.integers(-40, 40), st.booleans()), min_size=2, max_size=50), st.floats(0.5, 5))
def test_a_temperature_does_not_change_the_auroc(rows: list[tuple[int, bool]], temperature: float) -> None:
    logits, target = np.array([row[0] / 8 for row in rows]), np.array([row[1] for row in rows])
    scaled = probabilities(logits[:, None], [temperature], "sigmoid")[:, 0]
    assert auroc(scaled, target) == auroc(logits, target)


def test_probabilities_of_extreme_logits_are_finite() -> None:
    logits = np.array([[1e4, -1e4, 0.0]])
    assert probabilities(logits, [0.05] * 3, "sigmoid").tolist() == [[1.0, 0.0, 0.5]]
    assert probabilities(logits, [0.05] * 3, "softmax").tolist() == [[1.0, 0.0, 0.0]]
    assert probabilities(logits, [1.0] * 3, "sigmoid").dtype == np.float32


def test_softmax_probabilities_sum_to_one() -> None:
    logits = np.random.default_rng(4).normal(size=(50, 5)) * 8
    assert probabilities(logits, np.full(5, 1.7), "softmax").sum(1) == pytest.approx(np.ones(50), abs=1e-6)


def test_logits_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CalibrationError, match="2 of 4 outputs") as refusal:
        fit_temperature([[np.nan], [1.0], [np.inf], [0.0]], [[0], [1], [1], [0]], "sigmoid")
    assert "learning rate" in refusal.value.hint


# ---- threshold ------------------------------------------------------------------------------------------------------


@given(SCORED, TARGETS)
def test_a_threshold_reaches_its_target_and_no_larger_one_does(rows: list[tuple[float, bool]], wanted: float) -> None:
    probability = np.array([row[0] for row in rows], np.float32)
    target = np.array([row[1] for row in rows])
    threshold = choose_threshold(probability, target, wanted)
    needed = positives_needed(int(target.sum()), wanted)
    assert confusion(probability, target, threshold).true_positives >= needed
    larger = probability[probability > threshold]
    lowest = probability[probability >= threshold].min()
    if (larger > lowest).any():
        above = float(larger[larger > lowest].min())
        assert confusion(probability, target, above).true_positives < needed


@given(SCORED, TARGETS)
def test_a_threshold_means_the_same_in_float32(rows: list[tuple[float, bool]], wanted: float) -> None:
    probability = np.array([row[0] for row in rows], np.float32)
    target = np.array([row[1] for row in rows])
    threshold = choose_threshold(probability, target, wanted)
    assert float(np.float32(threshold)) == threshold
    assert ((probability >= np.float32(threshold)) == (probability.astype(np.float64) >= threshold)).all()


@pytest.mark.parametrize(
    ("probability", "target", "wanted", "expected"),
    [
        ([0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1], 0.9, 0.625),  # both positives; half-way to 0.5
        ([0.25, 0.5, 0.75, 1.0], [0, 1, 0, 1], 0.5, 0.375),  # of two positives and a new one half are two
        ([0.25, 0.5, 0.75, 1.0], [0, 1, 0, 1], 0.3, 0.875),  # one is enough
        ([0.5, 0.75], [1, 1], 0.9, 0.25),  # nothing below: half-way to 0
        ([0.5, 0.5, 0.5], [1, 0, 1], 0.9, 0.25),  # ties refer together
        ([0.0, 1.0], [1, 1], 0.9, 0.0),  # a positive at 0: everybody refers
    ],
)
def test_thresholds_by_hand(probability: list[float], target: list[int], wanted: float, expected: float) -> None:
    assert choose_threshold(probability, target, wanted) == expected


@pytest.mark.parametrize("steps", [0, 1])
def test_a_gap_of_one_float32_step_is_still_a_gap(steps: int) -> None:
    lower = np.float32(0.5) + np.float32(steps) * np.spacing(np.float32(0.5))
    upper = np.nextafter(lower, np.float32(1))
    assert choose_threshold(np.array([lower, upper]), [0, 1], 0.9) == float(upper)


@pytest.mark.parametrize(("positives", "missed"), [(1, 0), (10, 0), (18, 0), (19, 1), (28, 1), (29, 2)])
def test_ninety_percent_of_new_positives_leave_few_of_few_to_miss(positives: int, missed: int) -> None:
    probability, target = np.linspace(0.1, 1.0, positives), np.ones(positives)
    threshold = choose_threshold(probability, target, 0.9)
    assert confusion(probability, target, threshold).false_negatives == missed


@pytest.mark.parametrize("positives", [10, 14, 20, 50])
def test_new_cases_reach_the_target_on_average(positives: int) -> None:
    generator, target = np.random.default_rng(6), np.repeat([1, 0], positives)
    reached = []
    for _ in range(1500):
        score = generator.normal(size=target.size) + 2 * target
        threshold = choose_threshold(1 / (1 + np.exp(-score)), target, 0.9)
        reached.append(1 - NormalDist(2).cdf(np.log(threshold / (1 - threshold))))
    assert 0.895 <= np.mean(reached) <= 0.955


def test_the_operating_point_says_what_the_threshold_does() -> None:
    probability, target = [0.9, 0.7, 0.3, 0.8, 0.2, 0.1], [1, 1, 1, 0, 0, 0]
    point = operating_point(probability, target, 0.5, 0.6)
    assert (point.positives, point.negatives) == (3, 3)
    assert point.sensitivity.value == pytest.approx(2 / 3)
    assert point.specificity.value == pytest.approx(2 / 3)
    assert point.sensitivity.low < 2 / 3 < point.sensitivity.high
    assert (point.threshold, point.target_sensitivity) == (0.5, 0.6)


def test_patients_with_several_scans_widen_the_operating_point() -> None:
    generator = np.random.default_rng(5)
    probability, target = np.repeat(generator.random(30), 4), np.repeat(np.arange(30) % 2, 4)
    alone = operating_point(probability, target, 0.5, 0.9)
    together = operating_point(probability, target, 0.5, 0.9, np.repeat(np.arange(30), 4))
    assert together.sensitivity.value == pytest.approx(alone.sensitivity.value)
    assert together.sensitivity.low < alone.sensitivity.low


def test_without_positives_there_is_no_threshold() -> None:
    with pytest.raises(CalibrationError, match="None of the 2 calibration cases") as refusal:
        choose_threshold([0.1, 0.2], [0, 0], 0.9)
    assert "Label more cases" in refusal.value.hint


def test_without_negatives_there_is_no_operating_point() -> None:
    with pytest.raises(CalibrationError, match="2 have the finding and 0 do not"):
        operating_point([0.1, 0.2], [1, 1], 0.1, 0.9)
