"""Adaptation repeats exactly, goes on after an interruption, and learns from training rows only."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from aidpost_export.adapt import adapt
from aidpost_export.compute import Compute, settle_compute
from aidpost_export.errors import BaseError, RunError
from aidpost_export.finetune import FineTuning
from aidpost_export.network import load_base
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import load_recipe
from aidpost_export.run import RunFolder, RunRecord
from aidpost_export.statistics import auroc

from . import blobs


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, a recipe and a base trained from random weights on other images of the kind."""
    folder = tmp_path_factory.mktemp("workshop")
    blobs.write_recipe(folder / "recipe")
    blobs.write_blobs(folder / "large", 240, seed=1)
    blobs.write_blobs(folder / "clinic", 160, seed=2, height=-70)
    run(folder, "base", data="large", base=None, architecture="mobilenet-v2-0.5")
    return folder


def run(folder: Path, name: str, *, data: str = "clinic", base: str | None = "base", **options: object) -> RunFolder:
    source = load_recipe(str(folder / "recipe"))
    where = folder / base if base else None
    settings = {"device": "cpu", "threads": 1, "seed": 3, **options}
    return adapt(source, folder / data, where, folder / name, reporter=SilentReporter(), **settings)  # type: ignore[arg-type]


def a_record() -> RunRecord:
    digest = "a" * 64
    return RunRecord(
        recipe="blobs",
        recipe_sha256=digest,
        dataset="drawn",
        dataset_sha256=digest,
        base="random resnet-18",
        base_sha256=None,
        base_licence="",
        seed=0,
        limit=None,
        synthetic=True,
        created="2026-01-02",
        versions={},
    )


def weights(run: RunFolder) -> dict[str, np.ndarray]:
    return load_file(run.path / "model.safetensors")


@pytest.fixture(scope="module")
def adapted(workshop: Path) -> RunFolder:
    return run(workshop, "adapted", control=True)


def test_an_adapted_network_tells_the_classes_apart_on_rows_it_never_saw(adapted: RunFolder) -> None:
    cases = adapted.cases()
    rows = cases.where("validation")
    area = auroc(adapted.logits()[rows, 0], cases.targets[rows, 0])
    assert area is not None
    assert area > 0.8


def test_the_run_folder_holds_what_the_next_steps_read(adapted: RunFolder) -> None:
    cases, record = adapted.cases(), adapted.record()
    assert adapted.pixels().shape == (len(cases), 64, 64, 1)
    assert adapted.logits().shape == (len(cases), 1)
    assert record.base == "base"
    assert record.base_sha256 is not None
    with (adapted.path / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "4"]
    assert not (adapted.path / "checkpoint.pt").exists()


def test_the_control_learns_the_same_cases_from_random_weights(adapted: RunFolder) -> None:
    control = adapted.control()
    assert control is not None
    assert control.record().base == "random mobilenet_v2"
    assert control.cases().sha256 == adapted.cases().sha256
    assert not np.array_equal(control.logits(), adapted.logits())


def test_the_same_seed_gives_the_same_weights(workshop: Path, adapted: RunFolder) -> None:
    again = run(workshop, "again")
    assert all(np.array_equal(value, weights(again)[name]) for name, value in weights(adapted).items())


def test_another_seed_gives_other_weights(workshop: Path, adapted: RunFolder) -> None:
    other = run(workshop, "other-seed", seed=4)
    assert not np.array_equal(other.logits(), adapted.logits())


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(
    workshop: Path, adapted: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = FineTuning._keep

    def keep_then_stop(self: FineTuning) -> None:
        keep(self)
        if self._state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FineTuning, "_keep", keep_then_stop)
        run(workshop, "interrupted")
    assert (workshop / "interrupted" / "checkpoint.pt").is_file()
    finished = run(workshop, "interrupted")
    assert all(np.array_equal(value, weights(finished)[name]) for name, value in weights(adapted).items())
    assert (finished.path / "history.csv").read_text() == (adapted.path / "history.csv").read_text()


def test_a_run_keeps_the_threads_and_the_device_that_it_was_begun_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    record = a_record()
    folder.write_json("run.json", msgspec.structs.replace(record, device="cpu", threads=3))
    assert settle_compute(folder, "auto", None) == Compute("cpu", 3)
    assert settle_compute(folder, "cpu", 3) == Compute("cpu", 3)
    with pytest.raises(RunError, match="begun with --threads 3, and --threads 1 gives another network"):
        settle_compute(folder, "auto", 1)
    with pytest.raises(RunError, match="begun with --device cpu, and --device cuda gives"):
        settle_compute(folder, "cuda", None)
    folder.write_json("run.json", record)  # of an earlier version, which says neither
    assert settle_compute(folder, "cpu", 1) == Compute("cpu", 1)


def test_the_record_says_what_the_run_was_trained_on(adapted: RunFolder) -> None:
    assert (adapted.record().device, adapted.record().threads) == ("cpu", 1)


def test_validation_labels_have_no_part_in_training(workshop: Path, adapted: RunFolder) -> None:
    turned = workshop / "turned"
    blobs.write_blobs(turned, 160, seed=2, height=-70)
    with (turned / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["split"] == "val":
            row["label"] = {"blob": "plain", "plain": "blob"}[row["label"]]
    with (turned / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    result = run(workshop, "from-turned", data="turned")
    assert all(np.array_equal(value, weights(result)[name]) for name, value in weights(adapted).items())


def test_batch_norms_of_a_base_keep_their_statistics(workshop: Path, adapted: RunFolder) -> None:
    base, tuned = load_file(workshop / "base" / "model.safetensors"), weights(adapted)
    statistics = [name for name in base if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(np.array_equal(base[name], tuned[name]) for name in statistics)
    assert any(not np.array_equal(base[name], tuned[name]) for name in base if name.endswith("convolution.weight"))


def test_fine_tuning_that_brings_nothing_leaves_the_stages_of_the_base(workshop: Path) -> None:
    idle = blobs.RECIPE.replace("learning_rate = 1e-3", "learning_rate = 1e-9")
    source = load_recipe(str(blobs.write_recipe(workshop / "idle-recipe", idle)))
    where = workshop / "idle"
    result = adapt(
        source, workshop / "clinic", workshop / "base", where, reporter=SilentReporter(), device="cpu", threads=1
    )
    base, same = load_file(workshop / "base" / "model.safetensors"), weights(result)
    stages = [name for name in base if name.startswith("stages.")]
    assert stages
    assert all(np.array_equal(base[name], same[name]) for name in stages)
    assert json.loads((where / "training.json").read_text()) == {"epochs": 4, "kept": 0}


def test_a_folder_of_other_inputs_is_refused_and_left_alone(workshop: Path, adapted: RunFolder) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in adapted.path.iterdir()}
    with pytest.raises(RunError, match="seed") as refused:
        run(workshop, "adapted", seed=9)
    assert "--run" in refused.value.hint
    assert {path.name: path.stat().st_mtime_ns for path in adapted.path.iterdir()} == before


def test_a_folder_begun_with_another_architecture_is_refused(workshop: Path) -> None:
    with pytest.raises(RunError, match="base"):
        run(workshop, "base", data="large", base=None, architecture="resnet-18")


def sort_index(folder: Path, key: Callable[[dict[str, str]], object]) -> None:
    with (folder / "index.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=key)  # type: ignore[arg-type]
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_sorted_index_never_pairs_labels_with_the_pixels_of_other_scans(workshop: Path) -> None:
    blobs.write_blobs(workshop / "sorted", 80, seed=5)
    first = run(workshop, "in-order", data="sorted", base=None, architecture="resnet-10-narrow")
    before, pixels = (first.path / "cases.csv").read_bytes(), np.array(first.pixels())
    sort_index(workshop / "sorted", lambda row: row["split"])  # `train` and `val` stood in this order already
    run(workshop, "in-order", data="sorted", base=None, architecture="resnet-10-narrow")
    assert (first.path / "cases.csv").read_bytes() == before
    sort_index(workshop / "sorted", lambda row: (row["split"] == "train", row["file"]))
    run(workshop, "in-order", data="sorted", base=None, architecture="resnet-10-narrow")
    assert (first.path / "cases.csv").read_bytes() == before
    sort_index(workshop / "sorted", lambda row: row["file"][::-1])
    with pytest.raises(RunError, match="was written with other roles") as refused:
        run(workshop, "in-order", data="sorted", base=None, architecture="resnet-10-narrow")
    assert "--run" in refused.value.hint
    assert (first.path / "cases.csv").read_bytes() == before
    assert np.array_equal(first.pixels(), pixels)


def test_a_limit_counts_every_label_used(workshop: Path) -> None:
    cases = run(workshop, "limited", limit=60).cases()
    assert 50 <= len(cases.where("fit", "tuning", "calibration")) <= 60


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json"])
def test_an_incomplete_base_is_refused_by_name(workshop: Path, tmp_path: Path, missing: str, data_folder: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for path in (data_folder / "base" / "mobilenet_v2_1.0_224").iterdir():
        if path.name != missing:
            (base / path.name).symlink_to(path)
    with pytest.raises(BaseError) as refused:
        adapt(
            load_recipe(str(workshop / "recipe")),
            workshop / "clinic",
            base,
            tmp_path / "run",
            reporter=SilentReporter(),
            device="cpu",
        )
    assert refused.value.hint
    assert not (tmp_path / "run").exists()  # a base mistyped once is no reason to name another folder


def test_weights_that_the_record_would_not_cover_are_refused(workshop: Path, tmp_path: Path, data_folder: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).symlink_to(data_folder / "base" / "mobilenet_v2_1.0_224" / name)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BaseError, match=r"has no model\.safetensors"):
        load_base(tmp_path, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [("pixels.npy", r"pixels\.npy is damaged"), ("logits.npy", r"logits\.npy is damaged")],
)
def test_a_damaged_array_is_named_with_what_to_do(adapted: RunFolder, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes((adapted.path / name).read_bytes()[:130])
    with pytest.raises(RunError, match=words) as refused:
        getattr(RunFolder(tmp_path), name.removesuffix(".npy"))()
    assert "Remove it" in refused.value.hint


def test_a_record_or_a_recipe_that_was_edited_is_refused(adapted: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(adapted.path, run.path)
    (run.path / "recipe.toml").write_text((run.path / "recipe.toml").read_text() + "\n")
    with pytest.raises(RunError, match="was changed after the run began"):
        run.recipe()
    run.write_json("run.json", {})
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        run.record()


def test_cases_of_other_findings_than_the_recipes_are_refused(adapted: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(adapted.path, run.path)
    path = run.path / "cases.csv"
    path.write_text(path.read_text().replace("target:blob", "target:other", 1))
    with pytest.raises(RunError, match="has the findings other; the recipe has blob"):
        run.cases()
