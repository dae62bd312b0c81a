"""Detectors: what is appended to a graph computes the formulas, limits keep their promise, faults are graded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aidpost_device.bundle.onnx_walk import check_graph
from aidpost_device.bundle.variant import Estimate
from aidpost_device.engine import Prediction
from aidpost_device.reason import RETAKES, Reason
from aidpost_export.cases import Cases
from aidpost_export.detectors.attach import attach, check_detectors
from aidpost_export.detectors.degrade import DEGRADATIONS, GRADES, degrade, picture_area
from aidpost_export.detectors.faults import GOOD, FaultScores, fit_faults
from aidpost_export.detectors.figures import DetectorFigures, GoodFigures, SourceFigures, VariantDetectors
from aidpost_export.detectors.fit import Detectors, fewest, fit_detectors, spoilt_count
from aidpost_export.detectors.limits import fewest_scans, joint_limits, limit_of, safe_limit
from aidpost_export.detectors.mahalanobis import Mahalanobis, fit_mahalanobis
from aidpost_export.detectors.promises import broken_promises
from aidpost_export.detectors.tables import detector_tables
from aidpost_export.errors import ParityError
from aidpost_export.graph import OPSET
from aidpost_export.phantoms.collection import other_recipes
from aidpost_export.recipe import Recipe, load_recipe
from aidpost_export.scoring import open_session

SIZE = 96
FAULTS = tuple(map(str, DEGRADATIONS))


def scan(number: int, *, tall: bool = False, channels: int = 1) -> NDArray[np.uint8]:  # (SIZE, SIZE, channels)
    """A body with two dark lungs and a spine, bright at the bottom; `tall` has black bars at its sides."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE + random.normal(0, 0.015, 2)[:, None, None]
    image = 120 + 60 * y + random.normal(0, 6)
    for middle in (0.3, 0.7):
        image -= 70 * np.exp(-(((x - middle) / 0.11) ** 2) - ((y - 0.42) / 0.22) ** 2)
    image += 20 * np.exp(-(((x - 0.5) / 0.04) ** 2)) + random.normal(0, 4, image.shape)
    pixels = np.clip(image, 1, 254).astype(np.uint8)
    if tall:
        pixels[:, :8] = pixels[:, -8:] = 0
    return np.repeat(pixels[..., None], channels, axis=-1)


# ---- degradations ---------------------------------------------------------------------------------------------------


def change(fault: Reason, grade: int, number: int) -> float:
    """How much of a scan a fault changes, mean absolute difference in grey levels."""
    before = scan(number)
    return float(np.abs(degrade(before, fault, grade, number, bars=True).astype(int) - before).mean())


def test_every_fault_that_can_be_retaken_is_made_but_a_view_from_the_side() -> None:
    assert set(DEGRADATIONS) == set(RETAKES) - {Reason.LATERAL}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("fault", DEGRADATIONS)
def test_a_spoilt_scan_is_a_prepared_scan_and_the_same_every_time(fault: Reason, bars: bool, channels: int) -> None:
    before = scan(3, tall=True, channels=channels)
    kept = before.copy()
    for grade in GRADES:
        once, again = (degrade(before, fault, grade, 3, bars=bars) for _ in range(2))
        assert once.shape == before.shape
        assert once.dtype == np.uint8
        assert np.array_equal(once, again)
        assert not np.array_equal(once, before)
        assert not np.array_equal(once, degrade(before, fault, grade, 4, bars=bars)) or fault is Reason.UPSIDE_DOWN
    assert np.array_equal(before, kept)


@pytest.mark.parametrize("fault", [fault for fault in DEGRADATIONS if fault is not Reason.UPSIDE_DOWN])
def test_faults_are_graded(fault: Reason) -> None:
    means = [np.mean([change(fault, grade, number) for number in range(12)]) for grade in GRADES]
    if fault is Reason.ROTATED:
        means.pop()  # a quarter turn is worse, but not for the grey levels
    assert means == sorted(means)
    assert means[-1] > 1.5 * means[0]


def test_each_fault_does_what_it_is_called() -> None:
    before = scan(0).astype(float)
    worst = {fault: degrade(scan(0), fault, 4, 0, bars=True).astype(float) for fault in DEGRADATIONS}
    assert worst[Reason.UNDEREXPOSED].mean() > before.mean() + 40
    assert worst[Reason.OVEREXPOSED].mean() < before.mean() - 40
    assert np.abs(np.diff(worst[Reason.BLURRED], axis=0)).mean() < 0.7 * np.abs(np.diff(before, axis=0)).mean()
    assert (worst[Reason.GLARE] >= before - 1).all()
    assert (worst[Reason.GLARE] > 230).mean() > 0.03
    turned = np.rot90(before, 2)
    assert np.corrcoef(worst[Reason.UPSIDE_DOWN].ravel(), turned.ravel())[0, 1] > 0.8
    quarters = [np.array_equal(worst[Reason.ROTATED], np.rot90(before, k)) for k in (1, 3)]
    assert any(quarters)


def test_a_quarter_turn_of_a_tall_scan_has_its_bars_above_and_below() -> None:
    turned = degrade(scan(0, tall=True), Reason.ROTATED, 4, 0, bars=True)
    assert picture_area(turned) == (slice(8, SIZE - 8), slice(0, SIZE))


@pytest.mark.parametrize(
    ("blackened", "area"),
    [
        ((), (slice(0, SIZE), slice(0, SIZE))),
        (((slice(0, 5), slice(None)), (slice(-6, None), slice(None))), (slice(5, SIZE - 6), slice(0, SIZE))),
        (((slice(None), slice(0, 5)),), (slice(0, SIZE), slice(0, SIZE))),  # one side only: part of the picture
        (((slice(None), slice(None)),), (slice(0, SIZE), slice(0, SIZE))),  # black throughout
    ],
)
def test_bars_lie_on_two_sides_equally(blackened: Sequence[tuple[slice, slice]], area: tuple[slice, slice]) -> None:
    pixels = scan(0)
    for part in blackened:
        pixels[part] = 0
    assert picture_area(pixels) == area


# ---- limits ---------------------------------------------------------------------------------------------------------


@given(st.integers(19, 400), st.floats(0.05, 0.5), st.integers(0, 2**32 - 1))
def test_no_more_than_the_promised_share_of_new_scans_is_expected_beyond_a_limit(
    count: int, allowed: float, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    rank = 1 + int((values < limit_of(values, allowed)).sum())  # exceeded by a new one with 1 - rank / (count + 1)
    assert 1 - rank / (count + 1) <= allowed + 1e-9
    assert rank == 1 or 1 - (rank - 1) / (count + 1) > allowed - 1e-9  # and no larger than it need be


@pytest.mark.parametrize(("share", "count"), [(0.01, 99), (0.02, 49), (0.05, 19), (0.5, 1)])
def test_a_limit_needs_enough_scans(share: float, count: int) -> None:
    assert fewest_scans(share) == count
    assert limit_of(np.arange(float(count)), share) == count - 1
    with pytest.raises(ValueError, match="too few"):
        limit_of(np.arange(float(count - 1)), share)


def test_scans_that_the_network_never_saw_raise_the_limit() -> None:
    values = np.concatenate([np.linspace(0, 1, 400), np.linspace(0, 3, 100)])
    unseen = np.arange(500) >= 400
    assert safe_limit(values, unseen, 0.1) == pytest.approx(limit_of(values[unseen], 0.1))
    assert safe_limit(values, np.zeros(500, bool), 0.1) == limit_of(values, 0.05)


def test_several_scores_share_one_budget() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(4000, 5)) * (1, 10, 0.1, 1, 1) + (0, 5, 0, 0, -9)
    limits = joint_limits(scores[:2000], np.zeros(2000, bool), 0.04)
    assert (scores[:2000] > limits).any(axis=1).mean() == pytest.approx(0.02, abs=0.001)
    assert (scores[2000:] > limits).any(axis=1).mean() < 0.04
    assert ((scores[2000:] > limits).mean(axis=0) > 0.0005).all()  # none of them got the whole of it


# ---- the formulas ---------------------------------------------------------------------------------------------------


def toy_graph(length: int) -> bytes:
    """A graph that gives its pixels, (N, 1, length, 1) uint8, as the embedding."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "shape"], ["embedding"]),
    ]
    shape = numpy_helper.from_array(np.array([0, length], np.int64), "shape")
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", length, 1, 1])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", length])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return bytes(model.SerializeToString())


def run_toy(detectors: Detectors, rows: NDArray[np.uint8]) -> Prediction:
    """Run the toy graph with detectors on embeddings.  # (N, D) uint8"""
    graph = attach(toy_graph(rows.shape[1]), detectors)
    check_graph("toy.onnx", graph)
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"pixels": rows[..., None, None]}), strict=True))
    nothing = np.zeros((len(rows), 1), np.float32)
    return Prediction(probability=nothing, map=nothing, **found)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_graph_computes_the_formulas(length: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    known = random.integers(0, 256, (40, length)).astype(np.float32)
    detectors = Detectors(
        distance=fit_mahalanobis(known, np.arange(40) % classes),
        faults=FaultScores(random.normal(size=(length, 3)), random.normal(size=3)),
    )
    rows = random.integers(0, 256, (7, length), np.uint8)
    found = run_toy(detectors, rows)
    assert found.distance is not None
    assert found.quality is not None
    assert found.distance.shape == (7,)
    assert found.quality.shape == (7, 3)
    check_detectors(found, detectors)
    with pytest.raises(ParityError, match="distance"):
        check_detectors(replace(found, embedding=found.embedding + 50), detectors)


def test_the_distance_is_mahalanobis_to_the_nearest_class() -> None:
    random = np.random.default_rng(1)
    mix = random.normal(size=(6, 6))
    classes = np.arange(600) % 2
    values = random.normal(size=(600, 6)) @ mix + 40.0 * classes[:, None]
    fitted = fit_mahalanobis(values, classes)
    means = np.stack([values[classes == k].mean(axis=0) for k in (0, 1)])
    left = values - means[classes]
    # Three directions of their own (half of six), one variance for the other three.
    spread, turn = np.linalg.eigh(left.T @ left / 600)
    spread[:3] = spread[:3].mean()
    inverse = turn @ np.diag(1 / spread) @ turn.T
    new = random.normal(size=(50, 6)) * 30
    wanted = np.min([np.einsum("ni,ij,nj->n", new - mean, inverse, new - mean) for mean in means], axis=0) ** 0.5
    assert fitted.distances(new) == pytest.approx(wanted)
    assert fitted.distances(means) == pytest.approx(0, abs=1e-6)


def test_embeddings_that_never_move_give_a_finite_distance() -> None:
    fitted = fit_mahalanobis(np.ones((50, 8), np.float32), np.zeros(50, int))
    assert np.isfinite(fitted.distances(np.full((2, 8), 6.0))).all()
    still = run_toy(Detectors(distance=fitted), np.full((2, 8), 255, np.uint8))
    assert still.distance is not None
    assert np.isfinite(still.distance).all()
    assert still.quality is None


def test_a_graph_without_detectors_stays_as_it_is() -> None:
    assert attach(toy_graph(4), Detectors()) == toy_graph(4)


def test_what_is_appended_is_float_and_names_no_case() -> None:
    values = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    fitted = fit_mahalanobis(values, np.zeros(60, int))
    model = onnx.load_from_string(attach(toy_graph(12), Detectors(distance=fitted)))
    added = [tensor for tensor in model.graph.initializer if tensor.name.startswith("detectors.")]
    assert {tensor.data_type for tensor in added} == {TensorProto.FLOAT, TensorProto.INT64}
    centres = next(numpy_helper.to_array(tensor) for tensor in added if tensor.name == "detectors.centres")
    assert centres.shape == (1, 12 + 6)
    assert {node.domain for node in model.graph.node} == {""}


def test_a_score_tells_its_fault_from_good_scans_and_from_other_faults() -> None:
    random = np.random.default_rng(0)
    fault = np.array([GOOD] * 200 + ["a"] * 80 + ["b"] * 80)
    values = random.normal(size=(360, 20)) + 4.0 * np.stack([fault == "a", fault == "b"], 1) @ np.eye(2, 20)
    found = fit_faults(values, fault, ("a", "b")).scores(values)
    for q, name in enumerate(("a", "b")):
        assert found[fault == name, q].mean() > found[fault == GOOD, q].max()
        assert found[fault == name, q].mean() > found[~np.isin(fault, [GOOD, name]), q].max()


# ---- fitting --------------------------------------------------------------------------------------------------------


def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # (N, S, S, C) → (N, 72)
    """Cell means and cell gradients, in the place of a network."""
    image = pixels.mean(axis=-1)
    steps = np.abs(np.diff(image, axis=1, append=image[:, -1:]))
    cells = [part.reshape(len(part), 6, SIZE // 6, 6, SIZE // 6).mean((2, 4)) for part in (image, steps)]
    return np.concatenate([part.reshape(len(part), -1) for part in cells], axis=1).astype(np.float32)


def cases_of(count: int) -> Cases:
    roles = tuple(("fit", "fit", "tuning", "calibration")[i // 2 % 4] for i in range(count))
    return Cases(
        labels=("sick",),
        files=tuple(f"{i}.png" for i in range(count)),
        sha256=tuple(hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(count)),
        targets=(np.arange(count) // 2 % 2)[:, None].astype(np.float32),
        roles=roles,
        patients=tuple(f"p{i // 2}" for i in range(count)),
        columns={},
    )


def recipe_with(**detectors: object) -> Recipe:
    recipe = load_recipe("cxr-pneumonia").recipe
    return msgspec.structs.replace(recipe, detectors=msgspec.structs.replace(recipe.detectors, **detectors))


@pytest.fixture(scope="module")
def fitted() -> Detectors:
    """Detectors of 240 scans."""
    pixels = np.stack([scan(i) for i in range(240)])
    told: list[int] = []
    recipe, cases = recipe_with(), cases_of(240)
    found = fit_detectors(cases, pixels, embed(pixels), embed, recipe, told.append)
    assert sum(told) == spoilt_count(cases, recipe) == len(FAULTS) * len(GRADES) * 48
    return found


def test_new_good_scans_pass(fitted: Detectors) -> None:
    assert fitted.distance is not None
    assert fitted.limit is not None
    assert fitted.faults is not None
    new = embed(np.stack([scan(i) for i in range(1000, 1400)]))
    assert (fitted.distance.distances(new) > fitted.limit.limit).mean() <= 0.02
    limits = {check.measure: check.high for check in fitted.checks}
    scores = fitted.faults.scores(new)
    over = [scores[:, q] > limits[name] for q, name in enumerate(FAULTS) if name in limits]
    assert np.any(over, axis=0).mean() <= 0.02


def test_other_pictures_are_refused_and_spoilt_scans_are_not(fitted: Detectors) -> None:
    assert fitted.distance is not None
    assert fitted.limit is not None
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, SIZE, SIZE, 1), np.uint8)
    inverted = np.stack([255 - scan(i) for i in range(40)])
    for other in (noise, inverted):
        assert (fitted.distance.distances(embed(other)) > fitted.limit.limit).all()
    turned = np.stack([degrade(scan(i), Reason.UPSIDE_DOWN, 4, i, bars=True) for i in range(2000, 2040)])
    assert (fitted.distance.distances(embed(turned)) > fitted.limit.limit).mean() < 0.2


def test_faults_of_new_scans_are_found(fitted: Detectors) -> None:
    assert fitted.faults is not None
    limits = {check.measure: check.high for check in fitted.checks}
    for name in ("upside-down", "underexposed", "overexposed"):
        spoilt = np.stack([degrade(scan(i), Reason(name), 4, i, bars=True) for i in range(3000, 3040)])
        assert (fitted.faults.scores(embed(spoilt))[:, FAULTS.index(name)] > limits[name]).mean() > 0.9
    assert all(check.retake == check.measure and check.low is None for check in fitted.checks)


def test_with_too_few_cases_nothing_is_fitted_and_that_is_said() -> None:
    recipe = recipe_with()
    assert fewest(recipe) == 99
    pixels = np.stack([scan(i) for i in range(98)])
    found = fit_detectors(cases_of(98), pixels, embed(pixels), embed, recipe)
    assert found == Detectors(notes=("too few training cases for a limit: 98, at least 99 are needed",))
    assert spoilt_count(cases_of(98), recipe) == 0


def test_a_fault_that_is_not_seen_does_not_ship() -> None:
    def colour_blind(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed(pixels)[:, :36] - embed(pixels)[:, :36].mean(axis=1, keepdims=True)  # no overall level, no detail

    pixels = np.stack([scan(i) for i in range(160)])
    recipe = recipe_with(faults=("blurred", "upside-down"), distance=False)
    found = fit_detectors(cases_of(160), pixels, colour_blind(pixels), colour_blind, recipe)
    assert found.distance is None
    assert found.limit is None
    assert [check.measure for check in found.checks] == ["upside-down"]
    assert "blurred: not looked for, because only" in found.notes[0]


def test_a_recipe_that_asks_for_nothing_gets_nothing() -> None:
    recipe = recipe_with(faults=(), distance=False)
    assert fit_detectors(cases_of(8), np.zeros((8, 4, 4, 1), np.uint8), np.zeros((8, 3)), embed, recipe) == Detectors()


# ---- what is told ---------------------------------------------------------------------------------------------------


def share_of(value: float) -> Estimate:
    return Estimate(value=value, low=max(0.0, value - 0.01), high=min(1.0, value + 0.01))


def figures(refused: float, repeated: float, others: float, missing: tuple[str, ...] = ()) -> DetectorFigures:
    def source(name: str, kind: str, value: float) -> SourceFigures:
        return SourceFigures(
            name=name, kind=kind, scans=200, unreadable=3, refused=share_of(value), repeated=share_of(0.0)
        )  # type: ignore[arg-type]

    variant = VariantDetectors(
        variant="float32",
        graph="a" * 64,
        distance=True,
        looked_for=("blurred",),
        missing=missing,
        good=GoodFigures(scans=100, refused=share_of(refused), repeated=share_of(repeated)),
        grades=(),
        sources=(
            source("noise", "noise", 1.0),
            source("drawn for skin-lesion", "generated", others),
            source("inverted scans", "inverted", 0.2),
            source("children", "against", 0.0),
        ),
    )
    return DetectorFigures(false_refusals=0.02, false_repeats=0.02, variants=(variant,))


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        (figures(0.02, 0.02, 0.99), []),
        (figures(0.03, 0.0, 1.0), ["false-refusals"]),
        (figures(0.0, 0.03, 1.0), ["false-repeats"]),
        (figures(0.0, 0.0, 0.9), ["other-images"]),
        (figures(0.0, 0.0, 1.0, ("glare: not looked for",)), ["detector-missing"]),
        (None, []),
    ],
)
def test_a_promise_that_is_not_kept_is_a_caution(told: DetectorFigures | None, codes: list[str]) -> None:
    found = dict(broken_promises(told))
    assert list(found) == codes
    if "other-images" in found:
        assert found["other-images"].startswith("Variant float32 refuses only 95%")
        assert found["other-images"].endswith("It reads some of: drawn for skin-lesion.")


def test_tables_hold_every_source() -> None:
    (table,) = detector_tables(figures(0.01, 0.0, 1.0))
    assert [row[0] for row in table.rows] == [
        "good validation scans",
        "noise (3 files unreadable)",
        "drawn for skin-lesion (3 files unreadable)",
        "inverted scans (3 files unreadable)",
        "children (3 files unreadable)",
    ]
    assert table.rows[0][2] == "1% (0% to 2%)"
    assert detector_tables(None) == []


def test_images_of_the_own_kind_are_no_others() -> None:
    chest = load_recipe("cxr-tuberculosis").recipe
    assert not any(name.startswith("cxr-") for name in other_recipes(chest))
    assert len(other_recipes(chest)) == 7
    renamed = msgspec.structs.replace(chest, name="ours")  # only its modalities tell then
    assert "radiograph-fracture" not in other_recipes(renamed)
    assert {"skin-lesion", "mri-brain-tumour"} <= {*other_recipes(renamed)}


def test_mahalanobis_holds_no_scan() -> None:
    values = np.random.default_rng(0).normal(size=(300, 40))
    fitted = fit_mahalanobis(values, np.zeros(300, int))
    assert isinstance(fitted, Mahalanobis)
    assert fitted.centres.shape[0] == 1
    assert fitted.basis.shape == (40, 20)
