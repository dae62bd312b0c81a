"""Pack: what the box gets is what was judged, it works there, and the same run gives the same bytes."""

from __future__ import annotations

import csv
import json
import os
import shutil
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from aidpost_device import golden as device_golden
from aidpost_device.bundle import install as installation
from aidpost_device.bundle import trust_file
from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.install import install
from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, Trust, pin
from aidpost_device.bundle.verify import VerifiedBundle, verify
from aidpost_device.cli.main import aidpost
from aidpost_device.engine import Engine, Target
from aidpost_device.home import Home
from aidpost_device.prepare import prepare_bytes
from aidpost_export import pack as packing
from aidpost_export import variants
from aidpost_export.commands.pack import pack as pack_command
from aidpost_export.errors import PackError
from aidpost_export.evaluate import read_evaluation
from aidpost_export.golden import GoldenOutputs, GoldenVectors, golden_outputs
from aidpost_export.golden_inputs import golden_inputs, picture
from aidpost_export.pack import Label, Packed, default_build, pack
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.variant_record import FLOAT, read_logits, read_variants

from . import runs

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TRUST = Trust(root=Key(public=public_bytes(KEY)))
LABEL = Label(name="clinic-marks", version="1.2.0", build=41, site="The clinic", expires="2099-12-31")


def packed(run: RunFolder, *targets: Target, label: Label = LABEL, accept: str | None = None) -> Packed:
    """Pack as if INT8 were faster on this machine, and this machine an x86."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "speed_ratio", lambda *_: 1.5)
        patch.setattr("platform.machine", lambda: "x86_64")
        return pack(run, KEY, targets, label, SilentReporter(), accept=accept)


def prepare(bundle: VerifiedBundle, name: str, data: bytes) -> NDArray[np.uint8]:
    return prepare_bytes(name, data, image_input(bundle.manifest)).pixels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return runs.make_run(tmp_path_factory.mktemp("pack") / "run")


@pytest.fixture(scope="module")
def bundle(run: RunFolder) -> VerifiedBundle:
    return verify(packed(run, "x86", "pi4", "jetson").content, TRUST)


# ---- the bundle -----------------------------------------------------------------------------------------------------


def test_pack_quantises_and_evaluates_where_that_was_not_done(run: RunFolder, bundle: VerifiedBundle) -> None:
    assert set(read_variants(run)) == {"x86", "pi4", "jetson"}
    evaluation = read_evaluation(run)
    assert evaluation.device is not None
    assert {one.name for one in evaluation.device.variants} == {one.name for one in bundle.manifest.variants}


def test_the_manifest_says_what_the_run_is(run: RunFolder, bundle: VerifiedBundle) -> None:
    manifest, record, recipe = bundle.manifest, run.record(), run.recipe().recipe
    assert (manifest.name, manifest.version, manifest.build) == ("clinic-marks", "1.2.0", 41)
    assert (manifest.expires, manifest.provenance.site) == ("2099-12-31", "The clinic")
    assert manifest.input == recipe.input
    assert manifest.findings == tuple(finding.for_boxes() for finding in recipe.finding)
    assert manifest.zones == recipe.zones
    assert manifest.prevalence == recipe.prevalence
    assert manifest.outputs.probability == "sigmoid"
    assert manifest.outputs.map == "none"
    assert "Boxes draw no heat map and name no region: it has only 4 cells" in bundle.members["card.md"].decode()
    assert manifest.outputs.embedding == 32
    assert manifest.targets == {
        "x86": ("int8-u8s8", FLOAT),
        "pi4": ("int8-s8s8", FLOAT),
        "jetson": (FLOAT,),
    }
    assert manifest.provenance.dataset_sha256 == record.dataset_sha256
    assert manifest.provenance.created == record.created
    assert manifest.provenance.synthetic
    assert manifest.provenance.counts.calibration == len(run.cases().where("calibration"))
    assert {"torch", "onnx", "onnxruntime", "optimum"} <= set(manifest.provenance.versions)


def test_the_same_run_label_and_key_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "elsewhere")
    first, second = packed(run, "x86"), packed(RunFolder(tmp_path / "elsewhere"), "x86")
    assert first.content == second.content
    newer = packed(run, "x86", label=Label("clinic-marks", "1.2.0", 42))
    assert newer.content != first.content


def test_card_evidence_and_bill_of_materials_travel_along(run: RunFolder, bundle: VerifiedBundle) -> None:
    card = bundle.members["card.md"].decode()
    assert card.startswith("# Marks")
    assert "For practice only, not for people" in card
    evaluation = read_evaluation(run)
    assert f"{evaluation.findings[0].positives} of {evaluation.findings[0].cases}" in card
    for name in ("int8-u8s8", "int8-s8s8", FLOAT):
        assert f"| {name} |" in card
    assert json.loads(bundle.members["evaluation.json"])["recipe"] == "marks"
    plots = [name for name in bundle.members if name.startswith("evaluation/")]
    assert any("roc" in name for name in plots)
    bill = json.loads(bundle.members["mlbom.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {one["bom-ref"] for one in bill["components"]} == {"base", "dataset"}
    assert bill["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]


def test_no_scan_and_no_path_of_the_workstation_is_in_it(run: RunFolder, bundle: VerifiedBundle) -> None:
    everything = b"".join(bundle.members.values())
    assert str(run.path).encode() not in everything
    assert not any((run.path / "data" / name).read_bytes() in everything for name in run.cases().files)


@pytest.mark.parametrize(
    ("label", "place"),
    [
        (Label("Not a slug", "1.0.0", 1), "name"),
        (Label(None, "version one", 1), "version"),
        (Label(None, "1.0.0", 0), "build"),
        (Label(None, "1.0.0", 1, expires="tomorrow"), "expires"),
    ],
)
def test_a_label_that_no_box_could_read_is_refused(run: RunFolder, label: Label, place: str) -> None:
    with pytest.raises(PackError, match=rf"would be refused.*\$\.{place}"):
        packed(run, "x86", label=label)


def test_the_build_counter_grows_by_itself() -> None:
    assert default_build() > 3_000_000
    assert default_build() < 2**53


# ---- golden vectors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["x86", "pi4", "jetson"])
def test_every_variant_gives_its_golden_outputs_through_the_box_own_engine(
    bundle: VerifiedBundle, target: Target
) -> None:
    engines = device_golden.accepted_engines(
        bundle,
        target,
        lambda name, data: prepare(bundle, name, data),
        probe=True,
    )
    assert [engine.variant.name for engine in engines] == list(bundle.manifest.targets[target])


def test_a_finished_bundle_that_does_not_work_here_is_not_given_out(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:

    def wrong(variant: str, graph: bytes, vectors: GoldenVectors, *, int8: bool) -> GoldenOutputs:
        made = golden_outputs(variant, graph, vectors, int8=int8)
        if int8:
            made = type(made)(
                made.members, {k: b"\0" * len(v) for k, v in made.files.items()}, made.tolerance, made.example
            )
        return made

    monkeypatch.setattr(packing, "golden_outputs", wrong)
    with pytest.raises(PackError, match="int8-u8s8 does not give its golden outputs here"):
        packed(run, "x86")


def test_golden_tolerances_are_tight_for_float_and_bounded_for_int8(bundle: VerifiedBundle) -> None:
    for variant in bundle.manifest.variants:
        limits = (0.001, 0.001, 0.001) if variant.name == FLOAT else (0.1, 0.3, 0.1)
        tolerance = variant.tolerance
        assert (tolerance.probability, tolerance.map, tolerance.embedding) <= limits


@pytest.mark.parametrize(("channels", "modality"), [(1, "DX"), (3, "OP")])
def test_golden_inputs_exercise_each_decoder_once_and_show_nobody(channels: int, modality: str) -> None:
    plan = runs.Plan(channels=channels, modalities=(modality,))
    spec = msgspec.toml.decode(runs._recipe(plan, ("bright",)), type=Recipe).input
    encoded = golden_inputs(spec)
    decoders = [prepare_bytes(one.name, one.content, spec).decoder.split()[0] for one in encoded]
    assert {"pydicom-native", "pylibjpeg-rle", "pillow-jpeg2000", "pillow-png", "pillow-jpeg"} <= set(decoders)
    if channels == 1:
        assert {"imagecodecs-jpeg8", "imagecodecs-jpegls", "pylibjpeg-openjpeg"} <= set(decoders)
        assert len(set(decoders)) == len(decoders)
    for one in encoded:
        prepared = prepare_bytes(one.name, one.content, spec)
        assert prepared.pixels.std() > 20
        if one.suffix == "dcm":
            assert prepared.header.modality == modality
            assert prepared.header.patient_id == "nobody"
    assert golden_inputs(spec) == encoded


def test_the_encoded_pictures_come_back_as_they_were_drawn() -> None:
    spec = msgspec.toml.decode(runs._recipe(runs.Plan(size=64), ("bright",)), type=Recipe).input
    by_name = {one.name: prepare_bytes(one.name, one.content, spec).pixels[..., 0] for one in golden_inputs(spec)}
    drawn = picture(300, 260, 7)
    rows = np.add.reduceat(drawn.mean(axis=1), np.arange(0, 300, 100)) / 100 * 255
    inside = by_name["png"][:, 4:-4].astype(float)
    np.testing.assert_allclose([part.mean() for part in np.array_split(inside, 3)], rows, atol=4)


# ---- on the box -----------------------------------------------------------------------------------------------------


def test_the_bundle_installs_and_reads_scans_as_the_workstation_measured(
    run: RunFolder, bundle: VerifiedBundle, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(name: str, data: bytes, spec: ImageInput) -> NDArray[np.uint8]:
        return prepare_bytes(name, data, spec).pixels

    monkeypatch.setenv("AIDPOST_TARGET", "x86")
    monkeypatch.setattr(installation, "fastest", lambda engines: engines[0])
    content = packed(run, "x86", "pi4", "jetson").content
    trust_file.change(home, lambda trust: pin(trust, public_bytes(KEY)))
    install(home, content, date(2026, 1, 1), prepare=prepared, target="x86")
    cases = run.cases()
    rows = cases.where("validation")[:12]
    files = [run.path / "data" / cases.files[i] for i in rows]
    result = CliRunner().invoke(aidpost, ["device", "screen", *map(str, files), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "readings.csv").open(newline="") as file:
        read = {row["path"]: row for row in csv.DictReader(file)}
    variant = bundle.manifest.variants[0]
    assert variant.name == "int8-u8s8"
    assert {one["variant"] for one in read.values()} == {variant.name}
    numbers = variant.findings["bright"]
    logits = read_logits(run, variant.name)[rows, 0]
    for path, logit in zip(files, logits, strict=True):
        row = read[str(path)]
        assert float(row["probability"]) == pytest.approx(1 / (1 + np.exp(-logit / numbers.temperature)), abs=2e-3)
        probability, limits = float(row["probability"]), numbers.abstention
        assert limits is not None
        word = "REFER" if probability >= numbers.operating_point.threshold else "CLEAR"
        assert row["decision"] == ("UNSURE" if limits.low < probability < limits.high else word)


@pytest.mark.parametrize(("folder", "writable", "words"), [("none", True, "no folder"), ("", False, "may be written")])
def test_a_bundle_that_could_not_be_written_is_refused_before_the_work(
    folder: str, writable: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").touch()
    monkeypatch.setattr(os, "access", lambda _, mode: writable or mode != os.W_OK)
    out = tmp_path / folder / "b.aidpost"
    with pytest.raises(PackError, match=words) as refusal:
        CliRunner().invoke(
            pack_command,
            [str(tmp_path), "--key", str(tmp_path / "key"), "--target", "x86", "--out", str(out)],
            catch_exceptions=False,
        )
    assert refusal.value.hint


@pytest.mark.parametrize(("task", "channels"), [("multiclass", 1), ("multilabel", 3)])
def test_several_findings_go_the_whole_way(tmp_path: Path, task: str, channels: int) -> None:
    run = runs.make_run(tmp_path / "run", runs.Plan(task=task, channels=channels, noise=15))
    finished = verify(packed(run, "pi4", accept="Drawn marks for tests only").content, TRUST)
    manifest = finished.manifest
    assert [finding.label for finding in manifest.findings] == list(runs.MARKS)
    assert manifest.outputs.probability == ("softmax" if task == "multiclass" else "sigmoid")
    rows = run.cases().where("validation")[:8]
    pixels = np.array(run.pixels()[rows])
    for variant in manifest.variants:
        found = Engine.load(finished, variant.name).run(pixels)
        temperature = np.array([variant.findings[label].temperature for label in runs.MARKS])
        scaled = np.exp(read_logits(run, variant.name)[rows] / temperature)
        expected = scaled / scaled.sum(axis=1, keepdims=True) if task == "multiclass" else scaled / (1 + scaled)
        np.testing.assert_allclose(found.probability, expected, atol=2e-3)
        if task == "multiclass":
            assert len(set(temperature)) == 1
