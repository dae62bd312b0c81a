"""Limits to abstain between: the promise holds on fresh cases, whatever the scores look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import Finding, ImageInput
from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.conformal import abstention, fewest_cases, is_unsure
from aidpost_device.calibration.threshold import choose_threshold
from aidpost_device.decision import Facts, Word, decide_finding
from aidpost_device.errors import CalibrationError
from aidpost_device.in_force import InForce

WELL, ILL = 0.0, 1.0


def limits(
    score: NDArray[np.float32], ill: NDArray[np.floating], *, threshold: float = 0.5, most: float = 1.0
) -> Abstention | None:
    return abstention(score, ill, threshold, coverage=0.95, most_unsure=most, prevalence=0.2)


def drawn(generator: np.random.Generator, ill: int, well: int, skill: float) -> tuple[NDArray[np.float32], ...]:
    """Scores with heavy tails on a crooked scale, and the truth."""
    truth = np.repeat([ILL, WELL], [ill, well])
    evidence = generator.standard_t(4, ill + well) + skill * truth
    return (1 / (1 + np.exp(-np.clip(evidence**3 / 10, -50, 50)))).astype(np.float32), truth.astype(np.float32)


# ---- the promise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ill", "well"), [(25, 60), (80, 40)])
@pytest.mark.parametrize("most", [1.0, 0.2])
def test_on_fresh_cases_the_coverage_holds_on_average(ill: int, well: int, most: float) -> None:
    generator, draws, fresh = np.random.default_rng(3), 400, 200
    covered: list[float] = []
    covered_without: list[float] = []
    for _ in range(draws):
        score, truth = drawn(generator, ill, well, 2.5)
        threshold = choose_threshold(score, truth, 0.9)
        found = limits(score, truth, threshold=threshold, most=most)
        assert found is not None
        score, truth = drawn(generator, fresh, fresh, 2.5)
        clear, refer = score <= found.low, score >= found.high
        covered.append(float(np.mean(~clear[:fresh])) - found.coverage)
        if found.coverage_without is not None:
            covered_without.append(float(np.mean(~refer[fresh:])) - found.coverage_without)
    # The cap is kept on the same cases that the limits are chosen on, which may cost a percentage point.
    slack = 0.0 if most == 1 else 0.01
    for excess in (covered, covered_without):
        assert np.mean(excess) > -slack - 3 * np.std(excess) / np.sqrt(len(excess))


def test_without_a_cap_the_promise_to_those_with_it_is_no_larger_than_it_needs_to_be() -> None:
    generator, missed = np.random.default_rng(4), []
    for _ in range(400):
        score, truth = drawn(generator, 79, 79, 1)
        found = limits(score, truth, threshold=0.9)
        assert found is not None
        fresh, _ = drawn(generator, 200, 0, 1)
        missed.append(float(np.mean(fresh <= found.low)))
    assert np.mean(missed) == pytest.approx(0.05, abs=3 * np.std(missed) / np.sqrt(400))


@pytest.mark.parametrize(("coverage", "fewest"), [(0.95, 19), (0.9, 9), (0.8, 4), (0.99, 99)])
def test_a_coverage_needs_so_many_of_each_kind(coverage: float, fewest: int) -> None:
    assert fewest_cases(coverage) == fewest
    for ill, well in ((fewest, fewest - 1), (fewest - 1, fewest), (fewest, fewest)):
        truth = np.repeat([ILL, WELL], [ill, well])
        score = np.linspace(0.1, 0.9, truth.size).astype(np.float32)
        found = abstention(score, truth, 0.5, coverage=coverage, most_unsure=1, prevalence=0.5)
        assert (found is not None) == (ill == well)


def test_scans_of_few_patients_are_few_witnesses() -> None:
    truth = np.repeat([ILL, WELL], 40)
    score = np.linspace(0.9, 0.1, 80).astype(np.float32)
    for people, enough in ((80, True), (8, False)):
        patients = np.arange(80) % people
        found = abstention(score, truth, 0.5, coverage=0.95, most_unsure=1, prevalence=0.5, patients=patients)
        assert (found is not None) == enough


# ---- the cap --------------------------------------------------------------------------------------------------------


def test_the_cap_takes_from_those_without_it_first() -> None:
    score, truth = drawn(np.random.default_rng(0), 200, 400, 2)
    threshold = choose_threshold(score, truth, 0.9)
    found = {most: limits(score, truth, threshold=threshold, most=most) for most in (1.0, 0.3, 0.2, 0.05, 0.01)}
    assert all(one is not None and one.unsure <= most for most, one in found.items())
    promised = [one.coverage for one in found.values() if one]
    without = [one.coverage_without or 0.0 for one in found.values() if one]
    assert promised[:3] == [0.95] * 3 and without[0] == 0.95 > without[1] > without[2]
    assert 0.95 > promised[3] > promised[4] > 0.9, "those with it are given up last"


def test_the_share_unsure_is_that_at_the_prevalence() -> None:
    score, truth = drawn(np.random.default_rng(1), 100, 100, 1)
    found = limits(score, truth)
    assert found is not None
    between = (score > found.low) & (score < found.high)
    assert found.unsure == pytest.approx(0.2 * between[:100].mean() + 0.8 * between[100:].mean())


# ---- corners --------------------------------------------------------------------------------------------------------


def test_classes_that_do_not_overlap_leave_nobody_unsure() -> None:
    score = np.concatenate([np.linspace(0.7, 0.9, 30), np.linspace(0.1, 0.3, 30)]).astype(np.float32)
    truth = np.repeat([ILL, WELL], 30)
    found = limits(score, truth, threshold=choose_threshold(score, truth, 0.95))
    assert found is not None
    assert (found.coverage, found.coverage_without) == (0.95, 0.95)
    assert found.unsure == 0
    assert not is_unsure(score, found).any()


@pytest.mark.parametrize("threshold", [0.001, 0.999])
def test_a_threshold_far_outside_stays_within_the_limits(threshold: float) -> None:
    score, truth = drawn(np.random.default_rng(2), 60, 60, 2)
    found = limits(score, truth, threshold=threshold)
    assert found is not None
    assert found.low <= threshold <= found.high


def test_equal_scores_are_held_together() -> None:
    score = np.repeat(np.float32([0.6, 0.4]), 40)
    truth = np.repeat([ILL, WELL, ILL, WELL], [38, 2, 2, 38])
    found = limits(score, truth)
    assert found is not None
    assert found.low < 0.6 and found.high > 0.4
    all_alike = limits(np.full(80, 0.5, np.float32), truth)
    assert all_alike is not None
    assert all_alike.low < 0.5 < all_alike.high, "nothing tells them apart, so everybody is UNSURE"


def test_neighbours_in_float32_are_parted() -> None:
    held = np.float32(0.5)
    score = np.repeat([held, np.nextafter(held, np.float32(0)), np.nextafter(held, np.float32(1))], 20)
    truth = np.repeat([ILL, WELL, WELL], 20)
    found = limits(score, truth)
    assert found is not None
    assert found.low < held


def test_a_case_at_the_very_end_cannot_be_held() -> None:
    truth = np.repeat([ILL, WELL], 40)
    assert limits(np.repeat(np.float32([0, 0.5]), 40), truth) is None
    found = limits(np.repeat(np.float32([0.5, 1]), 40), truth, threshold=0.4)
    assert found is not None
    assert found.coverage_without is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    score, truth = drawn(np.random.default_rng(0), 40, 40, 2)
    score[3] = bad
    with pytest.raises(CalibrationError, match="1 of 80 outputs"):
        limits(score, truth)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 255).map(lambda level: level / 256), st.booleans()), min_size=60, max_size=90),
    st.floats(0.05, 0.95),
    st.floats(0.02, 1),
)
def test_the_box_says_what_the_limits_promise(cases: list[tuple[float, bool]], threshold: float, most: float) -> None:
    score = np.array([one for one, _ in cases], np.float32)
    truth = np.array([ill for _, ill in cases], np.float32)
    threshold = float(np.float32(threshold))
    found = limits(score, truth, threshold=threshold, most=most)
    if found is None:
        return
    assert found.low <= threshold <= found.high
    assert found.unsure <= most
    rule = InForce(threshold=threshold, abstention=found)
    finding, spec = Finding(label="opacity", names={"en": "opacity"}), ImageInput(size=32, channels=1)
    words = np.array([decide_finding(finding, rule, float(p), Facts(contrast=99), spec).word for p in score])
    assert ((words == Word.UNSURE) == is_unsure(score, found)).all()
    assert np.mean(words[truth > 0] != Word.CLEAR) >= found.coverage
    if found.coverage_without is not None:
        assert np.mean(words[truth == 0] != Word.REFER) >= found.coverage_without
