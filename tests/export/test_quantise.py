"""Quantisation: weights rounded so that outputs stay, gates that refuse what changes verdicts, and the record of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from aidpost_export import variants
from aidpost_export.errors import ParityError, RunError
from aidpost_export.gates import Calibrated, Change, compare, matching_threshold, recalibrate
from aidpost_export.graph import DeviceGraph, export_graph
from aidpost_export.measure import calibrate
from aidpost_export.network import load_network
from aidpost_export.progress import SilentReporter
from aidpost_export.quantise import Candidate, candidates
from aidpost_export.recipe import Gates
from aidpost_export.rounding import round_weights
from aidpost_export.run import RunFolder
from aidpost_export.scoring import open_session, score
from aidpost_export.sensitivity_gate import SensitivityChange
from aidpost_export.statistics import Interval
from aidpost_export.variant_record import FLOAT, graph_file, read_graph, read_logits, read_variants
from aidpost_export.variants import make_variants

from . import runs

FAST = 1.5
"""Speed ratio that tests put in the place of a measurement: these networks are too small for INT8 to gain."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run quantised for every target, as if INT8 were faster."""
    run = runs.make_run(tmp_path_factory.mktemp("quantise") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "speed_ratio", lambda *_: FAST)
        patch.setattr("platform.machine", lambda: "x86_64")
        make_variants(run, ["x86", "pi4", "pi5", "jetson"], SilentReporter())
    return run


@pytest.fixture
def copy(made: RunFolder, tmp_path: Path) -> RunFolder:
    """The same run, to be changed."""
    shutil.copytree(made.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def reuse_float_graph(run: RunFolder, patch: pytest.MonkeyPatch) -> None:
    """Do not export again what has been exported: it takes seconds and gives the same bytes."""
    exported = graph_file(run, FLOAT).read_bytes()
    patch.setattr(variants, "export_graph", lambda *_, **__: exported)


# ---- rounding -------------------------------------------------------------------------------------------------------


def test_rounding_against_the_inputs_keeps_outputs_better_than_rounding_to_nearest() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(4000, 6)) @ random.normal(size=(6, 48)) + 0.01 * random.normal(size=(4000, 48))
    weights = random.normal(size=(5, 48)).astype(np.float32)
    weights[:, 0] = 40  # one large weight makes the steps coarse for the others
    step = np.abs(weights).max(axis=1) / 127
    levels = round_weights(weights, inputs.T @ inputs, step)
    assert levels.dtype == np.int8
    assert np.abs(levels.astype(int)).max() <= 127
    wanted = inputs @ weights.T
    ours = np.abs(inputs @ (levels * step[:, None]).T - wanted).mean()
    nearest = np.abs(inputs @ (np.rint(weights / step[:, None]) * step[:, None]).T - wanted).mean()
    assert ours < nearest / 3


def test_rounding_survives_inputs_that_are_always_zero() -> None:
    moments = np.diag([1.0, 0.0, 0.0])
    levels = round_weights(np.array([[1.0, 0.4, -1.0]], np.float32), moments, np.array([1 / 127]))
    assert levels[0, 0] == 127
    assert round_weights(np.ones((2, 3), np.float32), np.zeros((3, 3)), np.ones(2)).tolist() == [[1] * 3] * 2


# ---- gates ----------------------------------------------------------------------------------------------------------


def test_the_threshold_keeps_verdicts_and_reaches_the_sensitivity() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9], np.float32)
    target = np.array([0, 0, 1, 0, 1, 1, 1, 1], np.float32)
    verdicts = score >= 0.35
    assert matching_threshold(score, target, verdicts, 0.6) == pytest.approx(0.35)
    # Five of six, counting a new one, need the case at 0.3, whatever the verdicts were.
    assert 0.2 < matching_threshold(score, target, verdicts, 0.8) <= 0.3


def test_of_equal_thresholds_the_one_in_the_widest_gap_is_taken() -> None:
    score = np.array([0.1, 0.2, 0.9, 0.95], np.float32)
    target = np.array([0, 0, 1, 1], np.float32)
    assert matching_threshold(score, target, score > 0.5, 0.5) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("change", "speed", "refusals"),
    [
        (Change(auroc=-0.005, flips=0.01), 1.01, []),
        (Change(auroc=0.02, flips=0.0), None, []),
        (Change(auroc=-0.0051, flips=0.0), 2.0, ["its AUROC is 0.0051 lower (0.005 is allowed)"]),
        (Change(auroc=0.0, flips=0.0101), 2.0, ["1.0% of its verdicts differ (1% are allowed)"]),
        (Change(auroc=0.0, flips=0.0), 1.0, ["it is no faster here (1.00 times the float graph's speed)"]),
        (Change(auroc=-0.1, flips=0.2), 0.5, ["its AUROC", "20.0% of its verdicts", "it is no faster"]),
    ],
)
def test_each_gate_refuses_in_words(change: Change, speed: float | None, refusals: list[str]) -> None:
    told = change.refusals(speed, Gates())
    assert len(told) == len(refusals)
    assert all(words.startswith(start) for words, start in zip(told, refusals, strict=True))


def test_a_change_is_that_of_the_worst_finding(made: RunFolder) -> None:
    cases, recipe = made.cases(), made.recipe().recipe
    scores = calibrate(made.logits(), cases, recipe)
    probability = np.repeat(scores.probability, 2, axis=1)
    everyone = np.ones(probability.shape, bool)
    twice = Calibrated(np.repeat(scores.temperature, 2), probability, scores.points * 2, everyone)
    other = Calibrated(twice.temperature, twice.probability.copy(), twice.points, everyone)
    other.probability[:10, 1] = 1 - other.probability[:10, 1]
    change = compare(other, twice, np.repeat(cases.targets, 2, axis=1))
    assert change.flips == pytest.approx((other.verdicts != twice.verdicts)[:, 1].mean())
    assert change.flips > 0
    assert change.auroc < 0
    assert compare(twice, twice, np.repeat(cases.targets, 2, axis=1)) == Change(auroc=0.0, flips=0.0)


def test_cases_that_the_box_does_not_decide_count_nowhere(made: RunFolder) -> None:
    cases, recipe = made.cases(), made.recipe().recipe
    rows, scores = cases.where("calibration"), calibrate(made.logits(), cases, recipe)
    inside = np.arange(rows.size)[:, None] % 4 > 0
    reference = Calibrated(scores.temperature, scores.probability[rows], scores.points, inside)
    logits, targets = made.logits()[rows], cases.targets[rows]
    found = recalibrate(logits, targets, [cases.patients[i] for i in rows], recipe, reference)
    point = found.points[0]
    assert point.positives == targets[inside[:, 0], 0].sum()
    assert point.positives + point.negatives == inside.sum()
    other = Calibrated(found.temperature, found.probability.copy(), found.points, inside)
    other.probability[~inside[:, 0]] = 1 - other.probability[~inside[:, 0]]
    assert compare(other, found, targets) == Change(auroc=0.0, flips=0.0)


# ---- the step -------------------------------------------------------------------------------------------------------


def test_candidates_put_more_and_more_of_the_backbone_in_float() -> None:
    tried = candidates(18)
    assert tried[:2] == (Candidate("minmax", 1), Candidate("percentile", 1))
    assert sorted(one.float_stages for one in tried) == [one.float_stages for one in tried]
    assert max(one.float_stages for one in tried) < 18


def test_what_passes_ships_before_the_float_graph_and_targets_share_it(made: RunFolder) -> None:
    found = read_variants(made)
    names = {target: [one.name for one in variants.variants] for target, variants in found.items()}
    assert names == {
        "x86": ["int8-u8s8", FLOAT],
        "pi4": ["int8-s8s8", FLOAT],
        "pi5": ["int8-s8s8", FLOAT],
        "jetson": [FLOAT],
    }
    assert "Jetson" in found["jetson"].note
    assert not found["jetson"].attempts
    for target, speed in (("x86", FAST), ("pi4", None)):
        attempt = found[target].attempts[-1]
        assert not attempt.refusals
        quantisation = found[target].variants[0].quantisation
        assert quantisation is not None
        assert (quantisation.speed, attempt.speed) == (speed, speed)
        assert quantisation.auroc_change >= -0.005
        assert quantisation.flips <= 0.01
        assert [one.subject for one in attempt.sensitivity] == ["all", "sex F", "sex M"]
        assert all("not judged" in one.words for one in attempt.sensitivity), "so few cases prove nothing"


@pytest.mark.parametrize("name", ["int8-u8s8", "int8-s8s8"])
def test_an_int8_graph_is_uint8_in_with_head_map_and_input_stage_in_float(made: RunFolder, name: str) -> None:
    model = onnx.load(graph_file(made, name))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    eight_bits = [value for value in weights.values() if value.dtype == np.int8 and value.ndim == 4]
    assert len(eight_bits) >= 8
    assert weights["network.stages.0.embedder.convolution.weight"].dtype == np.float32
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert {node.domain for node in model.graph.node} == {""}
    assert {one.domain for one in model.opset_import} == {""}
    makers = {output: node for node in model.graph.node for output in node.output}
    assert makers["map"].op_type == "Conv"
    assert makers[makers["map"].input[0]].op_type == "DequantizeLinear"
    assert makers["map"].input[1] not in makers
    zero_points = [weights[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {value.dtype for value in zero_points} == {np.dtype(np.uint8 if name.endswith("u8s8") else np.int8)}


def test_the_numbers_of_each_variant_are_its_own_and_describe_its_graph(made: RunFolder) -> None:
    cases = made.cases()
    rows = cases.where("calibration")
    for record in read_variants(made)["x86"].variants:
        numbers = record.findings["bright"]
        found = score(open_session(read_graph(made, record)), made.pixels(), rows)
        point = numbers.operating_point
        positive = cases.targets[rows, 0] > 0
        assert (found.probability[positive, 0] >= point.threshold).mean() == pytest.approx(point.sensitivity.value)
        assert (found.probability[~positive, 0] < point.threshold).mean() == pytest.approx(point.specificity.value)
        assert point.sensitivity.value >= point.target_sensitivity
        assert sum(numbers.reference) == pytest.approx(1)
        limits = numbers.abstention
        assert limits is not None
        assert limits.low <= point.threshold <= limits.high
        assert (found.probability[positive, 0] > limits.low).mean() >= limits.coverage
        between = (found.probability[:, 0] > limits.low) & (found.probability[:, 0] < limits.high)
        share = 0.1 * between[positive].mean() + 0.9 * between[~positive].mean()
        assert limits.unsure == pytest.approx(share, abs=0.02)
        logits = read_logits(made, record.name)[rows, 0]
        expected = 1 / (1 + np.exp(-logits / numbers.temperature))
        np.testing.assert_allclose(found.probability[:, 0], expected, atol=1e-4)


def test_ranges_and_weights_come_from_training_cases_alone(made: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "run")
    other = RunFolder(tmp_path / "run")
    cases, pixels = other.cases(), np.array(other.pixels())
    pixels[cases.where("validation", "tuning")] = 255
    np.save(other.path / "pixels.npy", pixels)
    with pytest.MonkeyPatch.context() as patch:
        reuse_float_graph(made, patch)
        patch.setattr(variants, "speed_ratio", lambda *_: FAST)
        make_variants(other, ["pi4"], SilentReporter())
    assert graph_file(other, "int8-s8s8").read_bytes() == graph_file(made, "int8-s8s8").read_bytes()


def test_a_network_that_8_bits_destroy_ships_in_float_with_the_reasons(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One huge channel that the head ignores stretches each range, so that everything else falls on a few levels.
    network = load_network(copy.path)
    with torch.no_grad():
        for stage in network.stages[1:]:
            for part in stage.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.bias[0] = 3e4
        for name, parameter in network.named_parameters():
            if name.endswith("convolution.weight") and "stages.0." not in name:
                parameter[1:, 0] = 0
        network.head.weight[:, 0] = 0
    runs.rewrite_network(copy, network)
    monkeypatch.setattr(variants, "speed_ratio", lambda *_: FAST)
    monkeypatch.setattr(variants, "candidates", lambda stages: (Candidate("minmax", 1), Candidate("percentile", 1)))
    found = make_variants(copy, ["x86"], SilentReporter())["x86"]
    assert [one.name for one in found.variants] == [FLOAT]
    assert [one.calibration for one in found.attempts] == ["minmax", "percentile"]
    assert all("verdicts differ" in " ".join(one.refusals) for one in found.attempts)
    assert read_variants(copy)["x86"] == found


def test_a_graph_that_is_no_faster_is_refused(copy: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    reuse_float_graph(copy, monkeypatch)
    monkeypatch.setattr(variants, "speed_ratio", lambda *_: 0.9)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = make_variants(copy, ["x86", "pi4"], SilentReporter())
    assert [one.name for one in found["x86"].variants] == [FLOAT]
    assert all("no faster here (0.90 times" in " ".join(one.refusals) for one in found["x86"].attempts)
    # Where the box is of another kind the box itself decides.
    assert [one.name for one in found["pi4"].variants] == ["int8-s8s8", FLOAT]


def test_a_graph_that_may_lose_the_ill_is_refused_and_the_record_says_so(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reuse_float_graph(copy, monkeypatch)
    lost = SensitivityChange(
        label="bright",
        column="sex",
        value="F",
        positives=60,
        patients=60,
        lost=2,
        gained=0,
        change=Interval(value=-2 / 60, low=-0.08, high=0.0),
        allowed=0.02,
    )
    monkeypatch.setattr(variants, "speed_ratio", lambda *_: FAST)
    monkeypatch.setattr(variants, "sensitivity_gate", lambda *_: (lost,))
    monkeypatch.setattr(variants, "candidates", lambda stages: (Candidate("minmax", 1),))
    found = make_variants(copy, ["pi4"], SilentReporter())["pi4"]
    assert [one.name for one in found.variants] == [FLOAT]
    (attempt,) = found.attempts
    assert attempt.refusals == (
        "it may find too few of those with bright: sex F: 2 of 60 lost, 0 gained, -3.3 points (down to -8.0); "
        "2 are allowed",
    )
    assert read_variants(copy)["pi4"].attempts[0].sensitivity == (lost,)


def test_outputs_of_another_network_are_noticed(copy: RunFolder) -> None:
    np.save(copy.path / "logits.npy", copy.logits() + 5 * np.random.default_rng(0).normal(size=copy.logits().shape))
    with pytest.raises(RunError, match="was not computed by this run's network"):
        make_variants(copy, ["jetson"], SilentReporter())


def test_an_export_that_went_wrong_makes_nothing(copy: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: DeviceGraph, **shape: int) -> bytes:
        with torch.no_grad():
            module.network.head.bias += 0.01
            exported = export_graph(module, **shape)
            module.network.head.bias -= 0.01
        return exported

    shutil.rmtree(copy.path / "device")
    monkeypatch.setattr(variants, "export_graph", wrong)
    with pytest.raises(ParityError, match="probability"):
        make_variants(copy, ["x86"], SilentReporter())
    assert not (copy.path / "device").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "logits.npy", "cases.csv", "recipe.toml"])
def test_graphs_of_other_inputs_are_out_of_date(copy: RunFolder, name: str) -> None:
    path = copy.path / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert read_variants(copy) == {}


def test_a_damaged_graph_is_never_taken(copy: RunFolder) -> None:
    record = read_variants(copy)["x86"].variants[0]
    path = graph_file(copy, record.name)
    path.write_bytes(path.read_bytes()[:-1])
    assert set(read_variants(copy)) == {"pi4", "pi5", "jetson"}
    with pytest.raises(RunError, match="is not the graph that was judged"):
        read_graph(copy, record)
    file = copy.path / "device" / "pi4" / "variants.json"
    file.write_bytes(msgspec.json.encode({"of": "another version"}))
    assert set(read_variants(copy)) == {"pi5", "jetson"}
