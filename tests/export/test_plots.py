"""Plots are well-formed, say in words what they show, and keep every mark inside the picture."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from aidpost_export.curves import GRID, RocCurve, roc_curve
from aidpost_export.plots.axes import Scale, round_ticks
from aidpost_export.plots.canvas import Canvas, shorten
from aidpost_export.plots.forest import Row, forest_plot
from aidpost_export.plots.histogram import histogram_plot
from aidpost_export.plots.history import Epoch, history_plot
from aidpost_export.plots.people import PEOPLE, Thousand, people_plot, thousand
from aidpost_export.plots.reliability import reliability_plot
from aidpost_export.plots.roc import roc_plot
from aidpost_export.statistics import reliability

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'opacity <b> & "shadow" of a finding with a very, very, very long name that never ends'
GENERATOR = np.random.default_rng(1)
TARGET = (np.arange(90) % 3 == 0).astype(np.float32)
PROBABILITY = (0.6 * GENERATOR.random(90) + 0.4 * TARGET).astype(np.float32)


def curve() -> RocCurve:
    found = roc_curve(PROBABILITY, TARGET, np.arange(90))
    assert found is not None
    return found


def roc() -> Canvas:
    return roc_plot(NASTY, curve(), (0.1, 0.9), "AUROC 0.912 (0.871 to above 0.999)")


def calibration() -> Canvas:
    return reliability_plot(
        NASTY, reliability(PROBABILITY, TARGET), PROBABILITY, "calibration error 0.060 (0.05 to 0.1)"
    )


def scores(threshold: float = 0.55) -> Canvas:
    return histogram_plot(NASTY, PROBABILITY, TARGET, threshold)


def forest() -> Canvas:
    rows = [Row("all", 0.9, 0.8, 0.95), Row(NASTY, 0.5, 0.1, 1.0), Row("rare", None)]
    return forest_plot(NASTY, rows, lambda value: f"{value:.0%}", "sensitivity", (0.9, "target 90%"))


def history() -> Canvas:
    return history_plot([Epoch(0, None, 0.7, 0.6), Epoch(1, 0.9, 0.5, None), Epoch(2, 0.4, 0.45, 0.99)], 0)


PICTURES: dict[str, Callable[[], Canvas]] = {
    "roc": roc,
    "calibration": calibration,
    "scores": scores,
    "threshold at 0": lambda: scores(0.0),
    "threshold at 1": lambda: scores(1.0),
    "forest": forest,
    "forest of nothing": lambda: forest_plot("empty", [Row("rare", None)], str, "AUROC"),
    "history": history,
    "history of one epoch": lambda: history_plot([Epoch(1, 0.9, 0.5, 0.7)], None),
    "people": lambda: people_plot(NASTY, thousand(0.91, 0.88, 0.05)),
}


def elements(canvas: Canvas, name: str, look: str = "") -> list[ElementTree.Element]:
    """Elements of a kind whose classes contain `look`."""
    root = ElementTree.fromstring(canvas.inline())
    return [element for element in root.iter(SVG + name) if set(look.split()) <= set(element.get("class", "").split())]


def pairs(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Points of a line or polygon."""
    return [tuple(map(float, pair.split(","))) for pair in element.get("points", "").split()]  # type: ignore[misc]


def extent(element: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an element, texts by a generous estimate."""

    def value(name: str) -> float:
        return float(element.get(name, "0"))

    if points := pairs(element):
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    if element.tag == SVG + "rect":
        return value("x"), value("y"), value("x") + value("width"), value("y") + value("height")
    if element.tag == SVG + "circle":
        r = value("r")
        return value("cx") - r, value("cy") - r, value("cx") + r, value("cy") + r
    words = "".join(element.itertext()).removeprefix(element.findtext(SVG + "title") or "")
    long, tall = len(words) * 6.6, 12.0
    before = {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")] * long
    if element.get("transform"):
        return value("x") - tall, value("y") - before, value("x"), value("y") + before
    return value("x") - before, value("y") - tall, value("x") - before + long, value("y") + 3


@pytest.mark.parametrize("name", PICTURES)
def test_every_mark_lies_inside_the_picture(name: str) -> None:
    canvas = PICTURES[name]()
    root = ElementTree.fromstring(canvas.standalone())
    for element in root:
        if element.tag in (SVG + "style", SVG + "title"):
            continue
        left, top, right, bottom = extent(element)
        assert left >= 0 and top >= 0, ElementTree.tostring(element)
        assert right <= canvas.width and bottom <= canvas.height, ElementTree.tostring(element)


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_says_in_words_what_it_shows(name: str) -> None:
    root = ElementTree.fromstring(PICTURES[name]().inline())
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 10 or name == "forest of nothing"
    assert root.findtext(SVG + "title")


def test_only_a_file_of_its_own_brings_the_style_sheet() -> None:
    assert "<style>" in roc().standalone()
    assert "<style>" not in roc().inline()


def test_the_curve_has_a_point_for_every_distinct_score() -> None:
    (line,) = elements(roc(), "polyline", "model line")
    assert len(pairs(line)) == len(np.unique(PROBABILITY)) + 1
    (band,) = elements(roc(), "polygon", "band")
    assert len(pairs(band)) == 2 * GRID


def test_the_curve_runs_from_no_referrals_to_all_inside_its_band() -> None:
    found = curve()
    assert (found.false_alarms[0], found.sensitivity[0]) == (0, 0)
    assert (found.false_alarms[-1], found.sensitivity[-1]) == (1, 1)
    assert (np.diff(found.false_alarms) >= 0).all() and (np.diff(found.sensitivity) >= 0).all()
    assert (found.band_low <= found.band_high).all()


def test_the_band_lies_around_the_curve_over_its_whole_width() -> None:
    target = np.arange(300) % 2
    found = roc_curve(GENERATOR.normal(size=300) + 0.3 * target, target, np.arange(300))
    assert found is not None
    height = np.interp(np.linspace(0, 1, GRID), found.false_alarms, found.sensitivity)
    assert ((found.band_low <= height) & (height <= found.band_high)).all()
    assert found.band_low[-1] == 1
    middle = (found.band_low + found.band_high)[50] / 2
    assert middle == pytest.approx(height[50], abs=0.03)


@pytest.mark.parametrize("target", [np.ones(5), np.zeros(5)])
def test_there_is_no_curve_of_one_class(target: np.ndarray) -> None:
    assert roc_curve(np.linspace(0, 1, 5), target, np.arange(5)) is None


def test_the_calibration_has_a_point_and_an_interval_per_bin() -> None:
    assert len(elements(calibration(), "circle", "model")) == len(reliability(PROBABILITY, TARGET)) == 10
    assert len(elements(calibration(), "polyline", "model line")) == 10


def test_the_bars_count_every_case_once() -> None:
    counted = {
        kind: sum(int((bar.findtext(SVG + "title") or "0").split()[0]) for bar in elements(scores(), "rect", kind))
        for kind in ("positive", "negative")
    }
    assert counted == {"positive": 30, "negative": 60}
    strip = elements(calibration(), "rect", "other")
    assert sum(int((bar.findtext(SVG + "title") or "0").split()[0]) for bar in strip) == 90


def test_the_heights_of_the_bars_are_in_proportion() -> None:
    for bar in elements(scores(), "rect"):
        count = int((bar.findtext(SVG + "title") or "0").split()[0])
        assert float(bar.get("height", "0")) == pytest.approx(count * one_case(), abs=0.11)


def one_case() -> float:
    """Pixels of one case in `scores`."""
    bars = elements(scores(), "rect")
    tallest = max(bars, key=lambda bar: float(bar.get("height", "0")))
    return float(tallest.get("height", "0")) / int((tallest.findtext(SVG + "title") or "1").split()[0])


def test_the_threshold_stands_where_it_is() -> None:
    (line,) = elements(scores(0.25), "polyline", "limit")
    (at_half,) = elements(scores(0.5), "polyline", "limit")
    (at_zero,) = elements(scores(0.0), "polyline", "limit")
    assert pairs(line)[0][0] == pytest.approx((pairs(at_half)[0][0] + pairs(at_zero)[0][0]) / 2, abs=0.1)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "expected"),
    [
        (0.9, 0.8, 0.1, Thousand(found=90, missed=10, alarms=180, cleared=720)),
        (1.0, 1.0, 0.5, Thousand(found=500, missed=0, alarms=0, cleared=500)),
        (0.0, 0.0, 0.002, Thousand(found=0, missed=2, alarms=998, cleared=0)),
    ],
)
def test_a_thousand_people_are_a_thousand(
    sensitivity: float, specificity: float, prevalence: float, expected: Thousand
) -> None:
    people = thousand(sensitivity, specificity, prevalence)
    assert people == expected
    assert len(elements(people_plot("it", people), "circle")) == PEOPLE
    assert len(elements(people_plot("it", people), "circle", "positive line")) == expected.missed


def test_a_figure_that_is_not_shown_has_no_mark() -> None:
    assert len(elements(forest(), "circle")) == 2
    assert any("not shown" in "".join(text.itertext()) for text in elements(forest(), "text"))


def test_the_history_marks_every_known_epoch() -> None:
    assert len(elements(history(), "circle", "other")) == 2, "epoch 0 has no training loss"
    assert len(elements(history(), "circle", "model")) == 3 + 2, "three tuning losses, two AUROCs"


def test_the_history_marks_the_epoch_that_was_kept_whatever_the_losses() -> None:
    epochs = [Epoch(0, None, 0.5, 0.7), Epoch(1, 0.9, 0.4, 0.8), Epoch(2, 0.8, 0.6, 0.8)]

    def marks(kept: int | None) -> list[float]:
        return [pairs(line)[0][0] for line in elements(history_plot(epochs, kept), "polyline", "limit fine dash")]

    (start,), (first,) = marks(0), marks(1)
    assert start < first
    assert not marks(None)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)), (0, 47, (0, 10, 20, 30, 40)), (0.82, 0.97, (0.85, 0.9, 0.95))],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)


def test_a_scale_maps_its_ends() -> None:
    scale = Scale(10, 20, 100, 0)
    assert [scale(10), scale(15), scale(20)] == [100, 50, 0]


def test_long_texts_are_cut_with_an_ellipsis() -> None:
    assert shorten("pneumonia", 9) == "pneumonia"
    assert shorten("pneumonia", 6) == "pneum…"
