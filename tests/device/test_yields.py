"""Yields by hand, and what must hold whatever the cases are."""

from __future__ import annotations

import csv
import io
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.choice import FEWEST, choose, require_enough
from aidpost_device.calibration.prior_shift import local_probability
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.proportions import predictive_values, rates, wilson
from aidpost_device.calibration.strata import band_of, stratify
from aidpost_device.calibration.threshold import choose_threshold
from aidpost_device.calibration.words import inline, people, percent, reason, stratum_line, told, warnings
from aidpost_device.calibration.yield_table import COLUMNS, readable, yield_csv
from aidpost_device.calibration.yields import Amount, Curve, curve
from aidpost_device.errors import CalibrationError, SettingError

TENTH = Programme(prevalence=0.1)
SHARE = st.floats(0.01, 0.99)


def by_hand(programme: Programme = TENTH) -> Curve:
    """Ten people with the finding, nine of them from 0.55 up; twenty without, four of them from 0.55 up."""
    present = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.15]
    absent = [0.87, 0.77, 0.67, 0.57, *np.linspace(0.01, 0.5, 16)]
    return curve([*present, *absent], [1] * 10 + [0] * 20, range(30), programme)


def drawn(seed: int, cases: int = 240, people: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    target = random.random(cases) < 0.4
    score = 1 / (1 + np.exp(-(random.normal(size=cases) + 1.5 * (target - 0.5))))
    return score.round(2).astype(np.float32), target, random.integers(people, size=cases)


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_a_threshold_by_hand() -> None:
    everything = Programme(prevalence=0.1, people_per_day=100, tests_per_day=40, cost_test=20, cost_missed=500)
    found = by_hand(everything).at(0.55)
    assert found.sensitivity.value == pytest.approx(9 / 10)
    assert found.specificity.value == pytest.approx(16 / 20)
    # of 1000 people 100 have it: 90 of them are flagged, and 180 of the other 900
    assert found.flagged.value == pytest.approx(0.27)
    assert found.positive_predictive_value is not None
    assert found.positive_predictive_value.value == pytest.approx(90 / 270)
    assert found.negative_predictive_value is not None
    assert found.negative_predictive_value.value == pytest.approx(720 / 730)
    assert found.missed.value == pytest.approx(10)
    for figure, value in (
        (found.tests_per_case, 3),
        (found.tests_per_day, 27),
        (found.cost_per_case, 60),
        (found.cost, (270 * 20 + 10 * 500) / 1000),
    ):
        assert figure is not None
        assert figure.value == pytest.approx(value)
        assert figure.low < figure.value < figure.high


def test_intervals_come_from_those_of_the_two_proportions() -> None:
    found = by_hand(Programme(prevalence=0.1, cost_test=20, cost_missed=500)).at(0.55)
    assert found.sensitivity == wilson(9, 10)
    specificity = wilson(16, 20)
    assert specificity is not None
    assert (found.specificity.low, found.specificity.high) == pytest.approx((specificity.low, specificity.high))
    worth = predictive_values(found.sensitivity, found.specificity, 0.1)
    assert (found.positive_predictive_value, found.negative_predictive_value) == (worth.positive, worth.negative)
    assert worth.positive is not None
    low, high = 1 / worth.positive.high, 1 / worth.positive.low
    assert found.tests_per_case == Amount(1 / worth.positive.value, low, high)
    present, alarms = found.sensitivity, 1 - found.specificity.value
    reach = sqrt((0.1 * (present.high - 0.9)) ** 2 + (0.9 * (1 - found.specificity.low - alarms)) ** 2)
    assert found.flagged.high == pytest.approx(0.27 + reach)
    assert found.missed.low == pytest.approx(100 * (1 - present.high))
    assert found.missed.high == pytest.approx(100 * (1 - present.low))


def test_where_nobody_is_flagged() -> None:
    found = by_hand(Programme(prevalence=0.1, cost_test=20)).at(0.99)
    assert (found.sensitivity.value, found.specificity.value, found.flagged.value) == (0, 1, 0)
    assert found.positive_predictive_value is found.tests_per_case is found.cost_per_case is None
    assert found.missed.value == 100
    only_false = curve([0.9, 0.1, 0.2], [0, 1, 0], range(3), TENTH).at(0.5)
    assert only_false.tests_per_case is not None
    assert only_false.tests_per_case.value == inf


# ---- against the same figures computed case by case -----------------------------------------------------------------


@pytest.mark.parametrize("people", [240, 150, 20, 1])
def test_every_threshold_agrees_with_the_proportions_of_its_cases(people: int) -> None:
    score, target, who = drawn(3, people=people)
    found = curve(score, target, who, TENTH)
    assert len(found.thresholds) == len(np.unique(score))
    for k, threshold in enumerate(found.thresholds):
        sensitivity, specificity = rates(score, target, float(threshold), who)
        at = found.at(float(threshold))
        for one, other in ((at.sensitivity, sensitivity), (at.specificity, specificity)):
            assert isinstance(other, Estimate)
            assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-9)
        shares = (found.sensitivity[k], found.specificity[k], found.flagged[k])
        assert shares == pytest.approx((at.sensitivity.value, at.specificity.value, at.flagged.value))


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999))
def test_a_higher_threshold_flags_and_finds_fewer_and_clears_more(seed: int, prevalence: float) -> None:
    found = curve(*drawn(seed, 60), Programme(prevalence=prevalence))
    assert (np.diff(found.thresholds) > 0).all()
    assert (np.diff(found.flagged) <= 1e-12).all()
    assert (np.diff(found.sensitivity) <= 0).all()
    assert (np.diff(found.specificity) >= 0).all()
    assert found.sensitivity[0] == 1


# ---- the choice -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(0.51, 0.99))
def test_without_costs_and_limit_it_is_the_threshold_for_the_target(seed: int, target: float) -> None:
    score, truth, who = drawn(seed, 90)
    choice = choose(curve(score, truth, who, TENTH), target)
    assert choice.threshold == choose_threshold(score, truth, target)
    assert (choice.why, choice.target_sensitivity) == ("target", target)


@given(st.integers(0, 2**32 - 1), st.floats(1, 200), st.floats(1, 5000), st.floats(0.02, 0.5), st.floats(10, 100))
def test_least_cost_within_the_tests_of_a_day(
    seed: int, test: float, missed: float, prevalence: float, tests: float
) -> None:
    programme = Programme(
        prevalence=prevalence, people_per_day=100, tests_per_day=tests, cost_test=test, cost_missed=missed
    )
    score, truth, who = drawn(seed, 90)
    found = curve(score, truth, who, programme)
    allowed = found.flagged <= tests / 100 * (1 + 1e-9)
    if not (allowed & found.sharp).any():
        with pytest.raises(SettingError, match="Even the strictest threshold sends"):
            choose(found, 0.9)
        return
    choice = choose(found, 0.9)
    chosen = found.at(choice.threshold)
    assert chosen.cost is not None
    assert chosen.flagged.value <= tests / 100 * (1 + 1e-9)
    # the least also among thresholds that are not sharp, if they find anybody
    assert chosen.cost.value == pytest.approx(found.cost[allowed & (found.sensitivity > 0)].min())
    least = found.cost[found.sharp].min()
    if choice.why == "cost":
        assert chosen.cost.value == pytest.approx(least)
    else:
        assert chosen.cost.value >= least - 1e-9
    # what is recorded as the target leads back to the same threshold
    assert choose_threshold(score, truth, choice.target_sensitivity) == choice.threshold


def test_the_highest_sensitivity_that_the_tests_allow() -> None:
    found = by_hand(Programme(prevalence=0.1, people_per_day=100, tests_per_day=27))
    choice = choose(found, 0.5)
    assert (choice.why, found.at(choice.threshold).flagged.value) == ("capacity", pytest.approx(0.225 + 0.045))
    fewer = by_hand(Programme(prevalence=0.1, people_per_day=100, tests_per_day=26))
    assert choose(fewer, 0.99).threshold > choice.threshold


def test_costs_that_speak_against_screening_are_told() -> None:
    found = by_hand(Programme(prevalence=0.1, cost_test=100, cost_missed=50))
    choice = choose(found, 0.9)
    assert choice.nobody_is_cheaper
    assert "flag nobody" in warnings(choice)[0]
    assert warnings(choose(by_hand(Programme(prevalence=0.1, cost_test=1, cost_missed=500)), 0.9)) == ()


@pytest.mark.parametrize(
    ("present", "absent", "more"),
    [
        (29, 100, "1 more with"),
        (100, 12, "18 more without"),
        (3, 4, "27 more with and 26 more without"),
        (0, 0, "30 more with and 30 more without"),
    ],
)
def test_too_few_people_are_refused_with_counts_and_fix(present: int, absent: int, more: str) -> None:
    target = [1] * present + [0] * absent
    with pytest.raises(CalibrationError, match=f"of {present} people with the finding and {absent} without") as caught:
        require_enough(target, range(len(target)), "confirmed outcomes")
    assert more in caught.value.hint


def test_a_person_with_many_cases_counts_once() -> None:
    target = [1] * FEWEST + [0] * FEWEST
    require_enough(target, range(2 * FEWEST), "cases")
    with pytest.raises(CalibrationError):
        require_enough(target, [0, 0, *range(2, 2 * FEWEST)], "cases")


def test_the_fewest_people_guarantee_the_width_that_is_claimed() -> None:
    found = [wilson(k, FEWEST) for k in range(FEWEST + 1)]
    assert 0.33 < max(one.high - one.low for one in found if one) < 0.34
    nine_of_ten = wilson(0.9 * FEWEST, FEWEST)
    assert nine_of_ten is not None
    assert (round(nine_of_ten.low, 2), round(nine_of_ten.high, 2)) == (0.74, 0.97)


def test_cases_of_one_kind_or_broken_scores_are_refused() -> None:
    with pytest.raises(CalibrationError, match="Of 2 cases 2 have the finding"):
        curve([0.1, 0.2], [1, 1], range(2), TENTH)
    with pytest.raises(CalibrationError, match="not finite"):
        curve([0.1, float("nan")], [1, 0], range(2), TENTH)


# ---- the programme --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "message", "fix"),
    [
        ({"prevalence": 0.0}, "prevalence of 0 ", "between 0 and 1"),
        ({"prevalence": 1.0}, "prevalence of 1 ", "1 of 100 people is 0.01"),
        ({"prevalence": 15.0}, "prevalence of 15 ", "15 of 100 people is 0.15"),
        ({"prevalence": -0.1}, "prevalence of -0.1 ", "between 0 and 1"),
        ({"prevalence": float("nan")}, "prevalence of nan ", "between 0 and 1"),
        ({"people_per_day": 0.0}, "people per day cannot be 0", "--people-per-day"),
        ({"cost_test": inf}, "cost test cannot be inf", "--cost-test"),
        ({"tests_per_day": 15.0}, "how many people are screened", "--people-per-day"),
        ({"cost_missed": 15.0}, "what a test costs", "--cost-test"),
    ],
)
def test_a_programme_that_cannot_be_is_refused(numbers: dict[str, float], message: str, fix: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        Programme(**{"prevalence": 0.1, **numbers})
    assert fix in caught.value.hint


# ---- prior shift ----------------------------------------------------------------------------------------------------


def test_prior_shift_by_hand() -> None:
    # odds 4 among cases half of whom have it; at one in ten the odds are 4 * (1/9) / 1
    assert local_probability(0.8, 0.5, 0.1) == pytest.approx(4 / 13)


@given(st.floats(0, 1), SHARE, SHARE)
def test_prior_shift_is_undone_by_its_inverse_and_keeps_what_is_equal(p: float, prior: float, share: float) -> None:
    assert local_probability(p, prior, prior) == pytest.approx(p)
    assert local_probability(local_probability(p, prior, share), share, prior) == pytest.approx(p)
    assert 0 <= local_probability(p, prior, share) <= 1


@given(st.floats(0, 1), st.floats(0, 1), SHARE, SHARE)
def test_prior_shift_keeps_the_order(one: float, other: float, prior: float, share: float) -> None:
    low, high = sorted((one, other))
    assert local_probability(low, prior, share) <= local_probability(high, prior, share) + 1e-15


def test_prior_shift_makes_a_calibrated_probability_calibrated_elsewhere() -> None:
    """Scores whose likelihood ratio is known: among 5 % the corrected probability is the share that has it."""
    random = np.random.default_rng(0)
    target = random.random(200_000) < 0.05
    z = random.normal(np.where(target, 1.0, -1.0))
    among_half = 1 / (1 + np.exp(-2 * z))  # Bayes' rule for these two normals where half have it
    local = np.array([local_probability(p, 0.5, 0.05) for p in among_half])
    middle = (local > 0.2) & (local < 0.4)
    assert target[middle].mean() == pytest.approx(local[middle].mean(), abs=0.02)
    assert target[middle].mean() < among_half[middle].mean() - 0.3


# ---- strata, words and tables ---------------------------------------------------------------------------------------


def test_strata_show_figures_only_where_there_are_enough() -> None:
    score, target, _ = drawn(1, 200)
    values = ["F"] * 90 + ["M"] * 90 + ["O"] * 6 + [""] * 14
    found = stratify("sex", values, score, target, range(200), 0.5, TENTH)
    assert [one.value for one in found] == ["F", "M", "O", ""]
    women = found[0]
    assert (women.sensitivity, women.specificity) == rates(score[:90], target[:90], 0.5)
    assert women.curve is not None
    assert women.curve.positives == women.positives == target[:90].sum()
    for few in found[2:]:
        assert few.curve is few.sensitivity is few.specificity is None
        assert stratum_line(few).endswith("too few to show")
    assert stratum_line(found[3]).startswith("sex not known: ")


def test_age_bands_in_the_order_of_age() -> None:
    score, target, _ = drawn(2, 300)
    values = [band_of(years) for years in np.linspace(0, 99, 300)]
    found = stratify("age", values, score, target, range(300), 0.5, TENTH)
    assert [one.value for one in found] == ["0-4", "5-17", "18-44", "45-64", "65+"]
    assert [band_of(years) for years in (None, 4.9, 5, 64.99, 130)] == ["", "0-4", "5-17", "45-64", "65+"]


def test_in_plain_words() -> None:
    programme = Programme(prevalence=0.1, people_per_day=50, tests_per_day=15, cost_test=20, cost_missed=500)
    found = by_hand(programme)
    said = told(found.at(0.55), found, "Pneumonia")
    assert said[0].startswith("Of 100 flagged here, about 33 (")
    assert said[0].endswith(") have pneumonia.")
    assert said[1].startswith("Of 100 who have pneumonia, about 10 (")
    assert "This sends about 14 (8 to 23) people a day to a test; 15 can be tested." in said
    assert any(line.startswith("Each one found costs about 60 (") for line in said)
    assert not any("diagnos" in line.lower() for line in said)
    assert told(found.at(0.99), found, "COVID-19")[0].startswith("Of 100 who have COVID-19, about 100 (")


@pytest.mark.parametrize(
    ("programme", "why"),
    [
        (TENTH, "target sensitivity of 82%"),
        (Programme(prevalence=0.1, people_per_day=100, tests_per_day=27), "most people that 27 tests a day allow"),
        (Programme(prevalence=0.1, cost_test=20, cost_missed=500), "a test costs 20 and a missed case 500"),
        (
            Programme(prevalence=0.1, people_per_day=100, tests_per_day=10, cost_test=1, cost_missed=500),
            "without that limit 0.145 would cost least and ask for 78 tests a day",
        ),
    ],
)
def test_the_reason_is_told(programme: Programme, why: str) -> None:
    found = by_hand(programme)
    assert why in reason(choose(found, 0.9 * 10 / 11), found)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (0.0001, "0.1%"), (0.004, "0.4%"), (0.31, "31%"), (0.9999, "99.9%"), (1.0, "100%")]
)
def test_a_percentage_never_claims_certainty(share: float, text: str) -> None:
    assert percent(share) == text


def test_people_are_whole() -> None:
    assert people(Estimate(value=0.0951, low=0.045, high=0.19), 100) == "10 (4 to 19)"
    assert people(Amount(0.4, 0.0, 2.2)) == "0.4 (0 to 2)"
    assert [inline(name) for name in ("Pneumonia", "COVID-19", "Other pneumonia")] == [
        "pneumonia",
        "COVID-19",
        "other pneumonia",
    ]


def test_the_table_holds_every_threshold_with_its_intervals() -> None:
    found = by_hand(Programme(prevalence=0.1, cost_test=20))
    rows = list(csv.DictReader(io.StringIO(yield_csv([("outcomes", found)]).decode())))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["threshold"]) for row in rows] == pytest.approx(list(found.thresholds))
    row = rows[-12]
    at = found.at(float(found.thresholds[-12]))
    assert float(row["sensitivity"]) == pytest.approx(at.sensitivity.value, abs=1e-6)
    assert float(row["flagged_high"]) == pytest.approx(at.flagged.high, rel=1e-5)
    assert row["cost"] == row["tests_per_day"] == ""
    assert row["cost_per_case"]


def test_a_few_readable_thresholds_hold_the_ones_that_are_asked_for() -> None:
    found = curve(*drawn(5, 240), TENTH)
    shown = readable(found, 0.123, 0.5)
    assert {0.123, 0.5} <= {*shown}
    assert list(shown) == sorted(shown)
    assert len(shown) <= 11
