"""The engine gives what the graph computed, checked, or an error; golden vectors decide which variant may score."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aidpost_device import engine as engine_module
from aidpost_device import golden
from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.manifest import Field, TableInput
from aidpost_device.bundle.onnx_walk import ORT_MARK
from aidpost_device.bundle.variant import Tolerance
from aidpost_device.bundle.verify import VerifiedBundle, verify
from aidpost_device.engine import Engine, Prediction, host_target
from aidpost_device.errors import BundleError, EngineError, GoldenError, ManifestError, ScanError, TargetError
from aidpost_device.timing import fastest

from . import bundles

SHAPE = (bundles.SIZE, bundles.SIZE, bundles.CHANNELS)


@pytest.fixture(scope="module")
def bundle(packed: bytes) -> VerifiedBundle:
    return verify(packed, bundles.TRUST)


def changed(change: Callable[[onnx.ModelProto], object], draft: bundles.Draft | None = None) -> VerifiedBundle:
    """A bundle whose float graph went through a change."""
    draft = draft or bundles.draft()
    model = onnx.load_from_string(draft.members["model.onnx"])
    change(model)
    return verify(draft.with_model(model).seal(), bundles.TRUST)


def pixels(batch: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (batch, *SHAPE), np.uint8)


def ending_in(operator: str, *inputs: str, **constants: object) -> Callable[[onnx.ModelProto], object]:
    """Put another operator behind the sigmoid."""

    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "before"
        for name, value in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        model.graph.node.append(helper.make_node(operator, list(inputs) or ["before"], ["probability"]))

    return change


TO_NAN = ending_in("Mul", "before", "nothing", nothing=np.float32("nan"))
ENLARGED = ending_in("Mul", "before", "hundred", hundred=np.float32(100))
NEGATED = ending_in("Neg")


def rename_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "score"
    model.graph.node[-1].output[0] = "score"


class TestRun:
    def test_it_gives_what_the_runtime_gives(self, bundle: VerifiedBundle) -> None:
        found = Engine.load(bundle, "float").run(pixels(1))
        expected = bundles.outputs_of(bundle.members["model.onnx"], pixels(1))
        for name in ("probability", "map", "embedding"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))

    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_the_batch_is_free(self, bundle: VerifiedBundle, batch: int) -> None:
        found = Engine.load(bundle, "int8").run(pixels(batch))
        assert found.probability.shape == (batch, 1)
        assert found.map.shape == (batch, 1, bundles.CELLS, bundles.CELLS)
        assert found.embedding.shape == (batch, bundles.WIDTH)

    def test_it_names_variant_and_model(self, bundle: VerifiedBundle) -> None:
        engine = Engine.load(bundle, "int8")
        assert engine.variant.name == "int8"
        assert engine.model_sha256 == bundle.manifest.members["model.int8.onnx"].sha256

    @pytest.mark.parametrize(
        "given",
        [
            np.zeros(SHAPE, np.uint8),
            np.zeros((1, 31, 32, 1), np.uint8),
            np.zeros((1, 32, 32, 3), np.uint8),
            np.zeros((1, *SHAPE), np.float32),
        ],
    )
    def test_other_pixels_are_refused(self, bundle: VerifiedBundle, given: np.ndarray) -> None:
        with pytest.raises(EngineError, match="takes uint8 pixels"):
            Engine.load(bundle, "float").run(given)

    def test_pixels_may_be_a_view(self, bundle: VerifiedBundle) -> None:
        engine, whole = Engine.load(bundle, "float"), pixels(4)
        np.testing.assert_array_equal(engine.run(whole[::2]).probability, engine.run(whole[::2].copy()).probability)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (TO_NAN, "gave probability with 3 values that are not numbers"),
            (ENLARGED, r"outside 0 to 1 \(from 0 to \d"),
            (NEGATED, r"outside 0 to 1 \(from -0"),
        ],
        ids=["not a number", "above one", "below zero"],
    )
    def test_outputs_that_cannot_be_true(self, change: Callable[[onnx.ModelProto], object], message: str) -> None:
        with pytest.raises(EngineError, match=message) as caught:
            Engine.load(changed(change), "float").run(pixels())
        assert caught.value.hint

    def test_a_softmax_must_sum_to_one(self) -> None:
        draft = bundles.draft(labels=("benign", "malignant", "normal"), softmax=True)
        found = Engine.load(verify(draft.pack(), bundles.TRUST), "float").run(pixels())
        np.testing.assert_allclose(found.probability.sum(axis=1), 1.0, atol=1e-6)
        halved = changed(ending_in("Mul", "before", "half", half=np.float32(0.5)), draft)
        with pytest.raises(EngineError, match=r"sum to 0\.5"):
            Engine.load(halved, "float").run(pixels())

    def test_the_probe_finds_what_only_blank_images_break(self) -> None:
        def divide_by_brightness(model: onnx.ModelProto) -> None:
            ending_in("Mul", "before", "one", image=np.array([1, 2, 3]))(model)
            last = model.graph.node.pop()
            model.graph.node.append(helper.make_node("ReduceMax", ["scaled", "image"], ["bright"], keepdims=0))
            model.graph.node.append(helper.make_node("Div", ["bright", "bright"], ["flat"]))
            model.graph.node.append(helper.make_node("Reshape", ["flat", "column"], ["one"]))
            model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "column"))
            model.graph.node.append(last)

        engine = Engine.load(changed(divide_by_brightness), "float")
        engine.run(pixels())
        with pytest.raises(EngineError, match="1 values that are not numbers"):
            engine.probe()


class TestLoad:
    def test_a_variant_that_is_not_there(self, bundle: VerifiedBundle) -> None:
        with pytest.raises(EngineError, match="no variant 'int4'"):
            Engine.load(bundle, "int4")

    def test_a_graph_that_the_runtime_refuses(self) -> None:
        def break_it(model: onnx.ModelProto) -> None:
            model.graph.node[0].op_type = "NoSuchOperator"

        with pytest.raises(EngineError, match=r"cannot load model\.onnx") as caught:
            Engine.load(changed(break_it), "float")
        assert caught.value.hint

    def test_the_runtimes_own_format_is_refused(self, bundle: VerifiedBundle, tmp_path: Path) -> None:
        """The walk reads ONNX only, so the runtime must not read anything else."""
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.optimized_model_filepath = str(tmp_path / "model.ort")
        onnxruntime.InferenceSession(bundle.members["model.onnx"], options, providers=["CPUExecutionProvider"])
        other = (tmp_path / "model.ort").read_bytes()
        assert other[4:8] == ORT_MARK
        with pytest.raises(EngineError, match=r"cannot load model\.onnx"):
            Engine.load(replace(bundle, members={**bundle.members, "model.onnx": other}), "float")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (rename_output, "gives .*score"),
            (lambda m: m.graph.output.pop(), "gives"),
            (lambda m: m.graph.output.append(helper.make_tensor_value_info("logits", 1, ["N", 1])), "gives"),
        ],
    )
    def test_other_outputs_are_refused(self, change: Callable[[onnx.ModelProto], object], message: str) -> None:
        with pytest.raises(EngineError, match=message):
            Engine.load(changed(change), "float")

    def test_a_fixed_batch_is_refused(self) -> None:
        def fix(model: onnx.ModelProto) -> None:
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

        with pytest.raises(EngineError, match="of shape"):
            Engine.load(changed(fix), "float")

    def test_float_pixels_are_refused(self) -> None:
        def take_floats(model: onnx.ModelProto) -> None:
            model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT

        with pytest.raises(EngineError, match="instead of pixels, uint8"):
            Engine.load(changed(take_floats), "float")

    def test_an_output_of_another_shape_is_refused(self) -> None:
        def drop_shapes(model: onnx.ModelProto) -> None:
            ending_in("Transpose")(model)
            for output in model.graph.output:
                output.type.tensor_type.ClearField("shape")

        engine = Engine.load(changed(drop_shapes), "float")
        with pytest.raises(EngineError, match=r"probability as float32 \(1, 3\) instead of float32 \(3, 1\)"):
            engine.run(pixels())

    def test_tables_are_refused(self, draft: bundles.Draft) -> None:
        table = draft.having(input=TableInput(fields=(Field(name="age", type="number", unit="a"),)))
        with pytest.raises(BundleError, match="tables"):
            image_input(table.manifest)

    def test_the_session_shares_the_machine(self) -> None:
        options = engine_module._options(threads=1)
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_no_telemetry_folder_appears(packed: bytes, tmp_path: Path) -> None:
    """Also when the user's environment asks for telemetry."""
    (tmp_path / "bundle").write_bytes(packed)
    user = tmp_path / "user"
    user.mkdir()
    code = (
        "import sys; from pathlib import Path; from aidpost_device.bundle import trust, verify\n"
        "from aidpost_device.engine import Engine\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "accepted = trust.Trust(root=trust.Key(public=bytes.fromhex(sys.argv[2])))\n"
        "Engine.load(verify.verify(data, accepted), 'float').probe()\n"
    )
    folders = (
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "XDG_RUNTIME_DIR",
        "TMPDIR",
    )
    environment = {**os.environ, **dict.fromkeys(folders, str(user)), "ORT_DISABLE_TELEMETRY": "0"}
    root = bundles.TRUST.root
    assert root is not None
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "bundle"), root.public.hex()]
    subprocess.run(command, env=environment, check=True)
    assert list(user.rglob("*")) == []


@pytest.mark.parametrize(
    ("machine", "board", "target"),
    [
        ("x86_64", "", "x86"),
        ("AMD64", "", "x86"),
        ("aarch64", "Raspberry Pi 4 Model B Rev 1.5\0", "pi4"),
        ("aarch64", "Raspberry Pi 400 Rev 1.0\0", "pi4"),
        ("aarch64", "Raspberry Pi Compute Module 4 Rev 1.1\0", "pi4"),
        ("aarch64", "Raspberry Pi 5 Model B Rev 1.0\0", "pi5"),
        ("aarch64", "Raspberry Pi Compute Module 5 Rev 1.0\0", "pi5"),
        ("aarch64", "NVIDIA Jetson Orin Nano Developer Kit\0", "jetson"),
    ],
)
def test_machines_are_known(machine: str, board: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_text(board)
    assert host_target({}, machine, tmp_path / "model") == target


@pytest.mark.parametrize(
    ("machine", "board"), [("aarch64", "Raspberry Pi 3 Model B\0"), ("aarch64", None), ("riscv64", "Raspberry Pi 5")]
)
def test_unknown_machines_are_refused(machine: str, board: str | None, tmp_path: Path) -> None:
    if board is not None:
        (tmp_path / "model").write_text(board)
    with pytest.raises(TargetError, match=machine) as caught:
        host_target({}, machine, tmp_path / "model")
    assert "AIDPOST_TARGET" in caught.value.hint


def test_the_target_can_be_named() -> None:
    assert host_target({"AIDPOST_TARGET": "pi5"}, "riscv64") == "pi5"
    with pytest.raises(TargetError, match="pi9"):
        host_target({"AIDPOST_TARGET": "pi9"})


# ---- golden vectors -------------------------------------------------------------------------------------------------


def shifted(content: bytes, by: float, place: int = 0) -> bytes:
    """Golden outputs with one number moved."""
    values = np.frombuffer(content, "<f4").copy()
    values[place] += by
    return values.tobytes()


def with_golden_off(*variants: str, by: float = 0.01, place: int = 0) -> VerifiedBundle:
    """A bundle in which these variants do not give their golden outputs."""
    draft = bundles.draft()
    for variant in variants:
        file = f"golden/noise-1.{variant}.f32"
        draft = draft.holding(file, shifted(draft.members[file], by, place))
    return verify(draft.seal(), bundles.TRUST)


class TestGolden:
    def test_the_first_of_the_target_is_taken(self, bundle: VerifiedBundle) -> None:
        assert golden.open_engine(bundle, "x86", bundles.prepare).variant.name == "int8"

    def test_the_preferred_one_goes_before(self, bundle: VerifiedBundle) -> None:
        assert golden.open_engine(bundle, "x86", bundles.prepare, prefer="float").variant.name == "float"

    def test_when_it_differs_the_next_is_tried(self) -> None:
        assert golden.open_engine(with_golden_off("int8"), "x86", bundles.prepare).variant.name == "float"

    @pytest.mark.parametrize(
        ("place", "output"), [(0, "probability"), (1, "map"), (1 + bundles.CELLS**2, "embedding"), (-1, "embedding")]
    )
    def test_when_none_is_left_the_box_refuses(self, place: int, output: str) -> None:
        with pytest.raises(GoldenError, match=f"int8 on golden input noise-1: {output} .*float on") as caught:
            golden.open_engine(with_golden_off("int8", "float", place=place), "x86", bundles.prepare)
        assert "Do not screen" in caught.value.hint

    def test_rounding_is_allowed(self) -> None:
        off = with_golden_off("int8", "float", by=1e-6)
        assert golden.open_engine(off, "x86", bundles.prepare).variant.name == "int8"

    def test_a_variant_that_gives_no_numbers_is_passed_over(self) -> None:
        draft = bundles.draft()
        model = onnx.load_from_string(draft.members["model.int8.onnx"])
        TO_NAN(model)
        broken = verify(draft.with_model(model, "model.int8.onnx").seal(), bundles.TRUST)
        assert golden.open_engine(broken, "x86", bundles.prepare).variant.name == "float"

    def test_another_machine_is_refused(self, bundle: VerifiedBundle) -> None:
        with pytest.raises(TargetError, match="made for x86, not pi4") as caught:
            golden.open_engine(bundle, "pi4", bundles.prepare)
        assert "--target pi4" in caught.value.hint

    def test_a_decoder_that_fails_is_named(self, bundle: VerifiedBundle) -> None:
        def failing(name: str, data: bytes) -> np.ndarray:
            raise ScanError("decoder", f"{name}: no decoder", "install it")

        with pytest.raises(GoldenError, match=r"noise-0\.png cannot be decoded") as caught:
            golden.open_engine(bundle, "x86", failing)
        assert "pillow" in caught.value.hint

    @pytest.mark.parametrize("off", [golden.GREY_LEVELS, golden.GREY_LEVELS + 1])
    def test_a_decoder_that_gives_other_pixels_is_refused_whatever_the_graph_tolerates(
        self, bundle: VerifiedBundle, off: int
    ) -> None:
        def moved(name: str, data: bytes) -> np.ndarray:
            pixels = bundles.prepare(name, data).copy()
            pixels[0, 0] = pixels[0, 0] + off if pixels[0, 0, 0] < 128 else pixels[0, 0] - off
            return pixels

        refusal = rf"noise-0\.png is prepared .* {off} grey levels off"
        judged_by_graph = r"probability|map|embedding"
        with pytest.raises(GoldenError, match=refusal if off > golden.GREY_LEVELS else judged_by_graph):
            golden.open_engine(bundle, "x86", moved)

    @pytest.mark.parametrize("content", [b"", b"abc", zlib.compress(bytes(3)), zlib.compress(bytes(2**20))])
    def test_golden_pixels_that_do_not_fit_are_refused(self, draft: bundles.Draft, content: bytes) -> None:
        odd = verify(draft.holding("golden/noise-0.pixels.z", content).seal(), bundles.TRUST)
        with pytest.raises(ManifestError, match="golden pixels"):
            golden.open_engine(odd, "x86", bundles.prepare)

    @pytest.mark.parametrize(
        "content",
        [b"", b"abc", bytes(4), np.full(21, np.nan, "<f4").tobytes()],
        ids=["empty", "odd", "short", "not a number"],
    )
    def test_golden_outputs_that_do_not_fit_are_refused(self, draft: bundles.Draft, content: bytes) -> None:
        odd = verify(draft.holding("golden/noise-0.int8.f32", content).seal(), bundles.TRUST)
        with pytest.raises(ManifestError, match="golden outputs"):
            golden.open_engine(odd, "x86", bundles.prepare)

    def test_what_is_written_is_read(self, bundle: VerifiedBundle) -> None:
        prediction = Engine.load(bundle, "float").run(pixels(1))
        back = golden.parse(golden.serialise(prediction), bundle.manifest, "x")
        for name in ("probability", "map", "embedding"):
            np.testing.assert_array_equal(getattr(back, name), getattr(prediction, name))

    def test_only_one_image_is_written(self, bundle: VerifiedBundle) -> None:
        with pytest.raises(ValueError, match="one image"):
            golden.serialise(Engine.load(bundle, "float").run(pixels(2)))


TOLERANCE = Tolerance(probability=0.01, map=0.01, embedding=0.01)
ZERO = Prediction(*(np.zeros(shape, np.float32) for shape in ((1, 1), (1, 1, 2, 2), (1, 3))))


def prediction(**changes: list[float]) -> Prediction:
    """Outputs of which some are given."""
    given = {name: np.array(values, np.float32).reshape(getattr(ZERO, name).shape) for name, values in changes.items()}
    return replace(ZERO, **given)


@pytest.mark.parametrize(
    ("found", "expected", "refused"),
    [
        (prediction(probability=[0.509]), prediction(probability=[0.5]), None),
        (prediction(probability=[0.511]), prediction(probability=[0.5]), "probability"),
        # One hundredth of the range, which is 10 here.
        (prediction(map=[0.09, 10, 5, 5]), prediction(map=[0, 10, 5, 5]), None),
        (prediction(map=[0.11, 10, 5, 5]), prediction(map=[0, 10, 5, 5]), "map"),
        (prediction(embedding=[1, 2, 3.03]), prediction(embedding=[1, 2, 3]), "embedding"),
        # A constant output has no range: its size counts, and 1 where that is zero too.
        (prediction(map=[8.07] * 4), prediction(map=[8] * 4), None),
        (prediction(map=[8.09] * 4), prediction(map=[8] * 4), "map"),
        (prediction(embedding=[0.009] * 3), ZERO, None),
        (prediction(embedding=[0.011] * 3), ZERO, "embedding"),
        (prediction(map=[float("nan")] * 4), ZERO, "map"),
    ],
)
def test_tolerances(found: Prediction, expected: Prediction, refused: str | None) -> None:
    gap = golden.difference(found, expected, TOLERANCE)
    assert gap is None if refused is None else gap is not None and gap.startswith(refused)


class TestTiming:
    @pytest.mark.parametrize(
        ("int8_ms", "float_ms", "winner"),
        [(3, 5, "int8"), (5, 3, "float"), (4, 4, "int8"), (104, 100, "int8"), (106, 100, "float")],
    )
    def test_the_fastest_run_decides(self, bundle: VerifiedBundle, int8_ms: int, float_ms: int, winner: str) -> None:
        engines = [Engine.load(bundle, "int8"), Engine.load(bundle, "float")]
        # A warm-up round, in which int8 looks best, then one slow and one clean round.
        durations = iter([1, 90, int8_ms + 60, float_ms + 50, int8_ms, float_ms])
        now, running = 0, False

        def clock() -> float:
            nonlocal now, running
            if running:
                now += next(durations)
            running = not running
            return now / 1000

        assert fastest(engines, rounds=2, clock=clock).variant.name == winner
