"""Detectors end to end: fitted by `quantize`, measured by `evaluate`, packed, and used by the box."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from aidpost_device.bundle import trust_file
from aidpost_device.bundle.install import install
from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, pin
from aidpost_device.bundle.verify import Trust, verify
from aidpost_device.cli.main import aidpost
from aidpost_device.engine import Engine
from aidpost_device.golden import parse
from aidpost_device.home import Home
from aidpost_device.prepare import prepare_bytes
from aidpost_device.reason import Reason
from aidpost_export import variants
from aidpost_export.commands.evaluate import evaluate as evaluate_command
from aidpost_export.detectors import measure as measuring
from aidpost_export.detectors import sources
from aidpost_export.detectors.degrade import degrade
from aidpost_export.evaluate import evaluate, read_evaluation
from aidpost_export.pack import Label, Packed, pack
from aidpost_export.progress import SilentReporter
from aidpost_export.run import RunFolder
from aidpost_export.variant_record import read_graph, read_variants
from aidpost_export.variants import make_variants

from . import runs

KEY = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
TRUST = Trust(root=Key(public=public_bytes(KEY)))
FAULTS = ("overexposed", "blurred")


def prepare(name: str, data: bytes, spec: ImageInput) -> NDArray[np.uint8]:  # (H, W, C)
    return prepare_bytes(name, data, spec).pixels


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of other images, one of which is none."""
    folder = tmp_path_factory.mktemp("others") / "holiday"
    folder.mkdir()
    for number, picture in enumerate(load_sample_images().images):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, strangers: Path) -> RunFolder:
    """A run with detectors, evaluated also on other images."""
    run = runs.make_run(tmp_path_factory.mktemp("detectors") / "run", runs.Plan(faults=FAULTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "speed_ratio", lambda *_: 1.5)
        patch.setattr("platform.machine", lambda: "x86_64")
        patch.setattr(sources, "DRAWN", 4)
        make_variants(run, ["x86"], SilentReporter())
        evaluate(run, SilentReporter(), [strangers])
    return run


@pytest.fixture(scope="module")
def packed(run: RunFolder) -> Packed:
    with pytest.MonkeyPatch.context() as patch:  # what is up to date is not measured again
        patch.setattr(measuring.Sensor, "sense", lambda *_: pytest.fail("measured twice"))
        return pack(run, KEY, ["x86"], Label(name=None, version="1.0.0", build=1), SilentReporter())


def test_each_variant_has_detectors_of_its_own(run: RunFolder) -> None:
    int8, float32 = read_variants(run)["x86"].variants
    assert int8.distance is not None
    assert float32.distance is not None
    assert int8.distance.limit != float32.distance.limit
    for record in (int8, float32):
        assert {check.measure for check in record.quality} <= {*FAULTS}
        assert "overexposed" in {check.measure for check in record.quality}


def test_the_evaluation_tells_what_they_do(run: RunFolder) -> None:
    found = read_evaluation(run).detectors
    assert found is not None
    assert [one.variant for one in found.variants] == ["int8-u8s8", "float32"]
    for one in found.variants:
        assert one.good.scans == len(run.cases().where("validation"))
        assert one.good.refused is not None
        assert one.good.refused.value <= 0.05
        assert [(grade.fault, grade.grade) for grade in one.grades] == [(f, g) for f in FAULTS for g in (1, 2, 3, 4)]
        sources = {source.name: source for source in one.sources}
        assert {"noise", "photographs", "inverted scans", "drawn for skin-lesion"} <= {*sources}
        assert (sources["holiday"].kind, sources["holiday"].scans, sources["holiday"].unreadable) == ("against", 2, 1)
    page = (run.path / "report.html").read_text()
    assert "What the box sends back and refuses" in page
    assert "holiday (1 files unreadable)" in page


def test_folders_that_were_tried_stay_in_the_evidence_of_the_bundle(packed: Packed) -> None:
    bundle = verify(packed.content, TRUST)
    sources = json.loads(bundle.members["evaluation.json"])["detectors"]["variants"][0]["sources"]
    assert "against" in {source["kind"] for source in sources}
    assert "What is sent back and refused" in bundle.members["card.md"].decode()


def test_golden_vectors_cover_the_detectors(packed: Packed) -> None:
    manifest = packed.manifest
    assert manifest.outputs.distance
    assert manifest.outputs.quality == FAULTS
    bundle = verify(packed.content, TRUST)
    for variant in manifest.variants:
        assert variant.distance is not None
        for file in variant.golden.values():
            expected = parse(bundle.members[file], manifest, file)
            assert expected.distance is not None
            assert expected.quality is not None
            assert expected.quality.shape == (1, len(FAULTS))
        assert variant.tolerance.detectors == 1e-3 or variant.precision == "int8"


def test_the_box_computes_what_the_workstation_did(run: RunFolder, packed: Packed) -> None:
    bundle = verify(packed.content, TRUST)
    few = np.array(run.pixels()[:5])
    for record in read_variants(run)["x86"].variants:
        assert bundle.members[f"model{'' if record.name == 'float32' else '.' + record.name}.onnx"] == read_graph(
            run, record
        )
        found = Engine.load(bundle, record.name).run(few)
        assert found.distance is not None
        assert found.quality is not None
        assert np.isfinite(found.distance).all()


def test_the_box_reads_repeats_and_refuses(
    run: RunFolder, packed: Packed, home: Home, tmp_path: Path, strangers: Path
) -> None:
    trust_file.change(home, lambda trust: pin(trust, public_bytes(KEY)))
    install(home, packed.content, None, prepare=prepare, target="x86")
    scans, rows = tmp_path / "scans", run.cases().where("validation")[:12]
    scans.mkdir()
    for row in rows:
        shutil.copy(run.path / "data" / run.cases().files[row], scans / f"good-{row}.png")
        dark = degrade(run.pixels()[row], Reason.OVEREXPOSED, 4, int(row), bars=True)
        Image.fromarray(dark[..., 0]).save(scans / f"dark-{row}.png")
    shutil.copy(strangers / "0.png", scans / "photograph.png")
    ran = CliRunner().invoke(aidpost, ["device", "screen", str(scans), "--out", str(tmp_path / "results")])
    assert ran.exit_code == 0, ran.output
    with (tmp_path / "results" / "readings.csv").open(newline="") as file:
        table = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    good = [row["decision"] for name, row in table.items() if name.startswith("good")]
    assert good.count("REJECTED") + good.count("REPEAT") <= 1
    dark = [row for name, row in table.items() if name.startswith("dark")]
    assert sum(row["decision"] in ("REPEAT", "REJECTED") for row in dark) >= 11
    assert any("overexposed" in row["reasons"] for row in dark if row["decision"] == "REPEAT")
    assert table["photograph"]["decision"] == "REJECTED"
    assert "unlike-training" in table["photograph"]["reasons"]


def test_a_graph_is_measured_once(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    copy = RunFolder(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "other_images", lambda *_: [])
        patch.setattr(measuring.Sensor, "sense", lambda *_: (_ for _ in ()).throw(RuntimeError("measured")))
        (copy.path / "evaluation.json").unlink()
        evaluate(copy, SilentReporter())  # the figures of these graphs stand in a file of their own
        (copy.path / measuring.FILE).unlink()
        with pytest.raises(RuntimeError, match="measured"):
            evaluate(copy, SilentReporter())


@pytest.mark.parametrize("quantised", [True, False])
def test_a_folder_that_cannot_be_tried_is_an_error(run: RunFolder, tmp_path: Path, quantised: bool) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    before = (tmp_path / "run" / "evaluation.json").read_bytes()
    if not quantised:
        shutil.rmtree(tmp_path / "run" / "device")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no picture")
    told = CliRunner().invoke(evaluate_command, [str(tmp_path / "run"), "--against", str(tmp_path / "texts")])
    assert told.exit_code == 1
    assert ("None of the 1 files" if quantised else "has no device graphs with detectors") in str(told.exception)
    assert (tmp_path / "run" / "evaluation.json").read_bytes() == before
