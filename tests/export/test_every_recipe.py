"""Every recipe goes the whole way on generated images of its kind, from the images to the screening's table."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from aidpost_device.bundle.install import active_bundle
from aidpost_device.cli.main import aidpost
from aidpost_device.engine import host_target
from aidpost_device.home import Home
from aidpost_export.phantoms.collection import write_collection
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import Recipe, load_recipe, recipe_folders

EPOCHS = 2
"""Enough to see that the recipe learns without a fault; what it learns is not looked at."""

MOST_SENT_BACK = 0.04
"""Share of good images that the detectors may refuse or send back: what a recipe allows of either kind."""


@pytest.mark.system
@pytest.mark.parametrize("name", [folder.name for folder in recipe_folders()])
def test_the_recipe_goes_the_whole_way(name: str, tmp_path: Path, home: Home) -> None:
    recipe = short_of(name, tmp_path / "recipe")
    count = 240 if recipe.task == "multilabel" else 120
    write_collection(load_recipe(name).recipe, tmp_path / "data", count, seed=1, reporter=SilentReporter())
    run, key, bundle = tmp_path / "run", tmp_path / "test.key", tmp_path / "test.aidpost"
    call("export", "adapt", tmp_path / "recipe", "--data", tmp_path / "data", "--run", run, "--base", "random",
         "--architecture", "resnet-10-narrow", "--threads", 1)  # fmt: skip
    call("export", "quantize", run, "--target", host_target())
    call("export", "evaluate", run)
    call("export", "keygen", key)
    call("export", "pack", run, "--key", key, "--target", host_target(), "--out", bundle,
         "--accept", "Drawn images for this test alone")  # fmt: skip
    call("device", "trust", "add", f"{key}.pub", "--yes")
    call("device", "install", bundle)
    call("device", "screen", tmp_path / "data" / "images", "--out", tmp_path / "results")
    manifest = active_bundle(home).manifest
    assert [finding.label for finding in manifest.findings] == list(recipe.labels)
    assert manifest.provenance.synthetic
    with (tmp_path / "results" / "readings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    read = [row for row in rows if row["decision"] in ("REFER", "CLEAR", "UNSURE")]
    assert {row["finding"] for row in read} == set(recipe.labels)
    assert len(read) >= (1 - MOST_SENT_BACK) * count * len(recipe.labels)


def short_of(name: str, folder: Path) -> Recipe:
    """The recipe with a short training."""
    source = load_recipe(name)
    setting = f"[training]\nscratch_epochs = {EPOCHS}\n"
    text = re.sub(r"^scratch_epochs.*\n", "", source.text, flags=re.MULTILINE)
    text = text.replace("[training]\n", setting) if "[training]\n" in text else f"{text}\n{setting}"
    folder.mkdir()
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    (folder / "CARD.md").write_text(source.card, encoding="utf-8")
    return load_recipe(str(folder)).recipe


def call(*arguments: object) -> None:
    aidpost.main([str(argument) for argument in arguments], prog_name="aidpost", standalone_mode=False)
