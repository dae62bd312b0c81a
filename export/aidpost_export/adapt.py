"""Adapt: from a recipe, a dataset and a base to a trained network in a run folder.

Every step leaves a file and is skipped when the file is there, so an interrupted run goes on where it stopped and
ends with the same weights. A folder made from other inputs is refused, never mixed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from aidpost_export.cases import Cases
from aidpost_export.compute import Compute, settle_compute
from aidpost_export.dataset import build_cases, is_synthetic, prepare_cases, read_dataset
from aidpost_export.index import lacking, read_index
from aidpost_export.learnt import read_learnt
from aidpost_export.network import NetworkRecord, load_base, named_record, random_network
from aidpost_export.progress import Reporter
from aidpost_export.provenance import claim, describe, in_first_order, random_base
from aidpost_export.recipe import RecipeSource
from aidpost_export.run import RunFolder
from aidpost_export.training import train


def adapt(
    recipe: RecipeSource,
    data: Path,
    base: Path | None,
    run: Path,
    *,
    reporter: Reporter,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    skip_bad: bool = False,
    control: bool = False,
    architecture: str = "mobilenet-v2",
) -> RunFolder:
    """Train a network on the dataset at `data`, starting from `base` (None: random weights of `architecture`).

    With `control` the same is trained from random weights as well, into `run/control`.
    Raises `DatasetError`, `BaseError`, or `RunError` when the folder holds another run.
    """
    folder, findings = RunFolder(run), len(recipe.recipe.labels)
    # All that can be refused without reading a scan comes before the folder is begun.
    compute = settle_compute(folder, device, threads)
    torch.set_num_threads(compute.threads)
    torch.backends.cudnn.allow_tf32 = False  # ten bits of a product are too few for what the boxes must reproduce
    torch.manual_seed(seed)
    network = load_base(base, findings) if base else random_network(named_record(architecture, findings), findings)
    learnt, index = read_learnt(base), read_index(data, recipe.recipe)
    for column in lacking(index, recipe.recipe):
        reporter.note(f"{index.name} has no column {column!r}: nothing will be known of these groups.")
    run.mkdir(parents=True, exist_ok=True)
    scans = read_dataset(data, recipe.recipe, reporter, scratch=run, index=index)
    cases, _ = build_cases(
        data,
        recipe.recipe,
        seed=seed,
        limit=limit,
        skip_bad=skip_bad,
        scans=scans,
        issues_file=None if (run / "run.json").is_file() else run / "issues.json",
        index=index,
        learnt=learnt,
    )
    record = describe(
        recipe, data, cases, base or architecture, compute, limit=limit, seed=seed, synthetic=is_synthetic(index)
    )
    claim(folder, record, recipe)
    cases = in_first_order(folder, cases)
    cases.write(run / "cases.csv")
    if not (run / "pixels.npy").is_file():
        prepare_cases(cases, data, recipe.recipe.input, run / "pixels.npy", reporter, scans)
    train(folder, recipe.recipe, cases, network, compute, reporter, seed=seed, from_scratch=base is None)
    if control and base is not None:
        _train_control(folder, recipe, cases, network.record, compute, reporter, seed=seed)
    return folder


def _train_control(
    folder: RunFolder,
    recipe: RecipeSource,
    cases: Cases,
    like: NetworkRecord,
    compute: Compute,
    reporter: Reporter,
    *,
    seed: int,
) -> None:
    """Train the same architecture on the same cases from random weights: what transfer is measured against."""
    control = RunFolder(folder.path / "control")
    control.path.mkdir(exist_ok=True)
    record = msgspec.structs.replace(
        folder.record(), base=random_base(str(like.architecture["model_type"])), base_sha256=None, base_licence=""
    )
    claim(control, record, recipe)
    cases.write(control.path / "cases.csv")
    pixels = control.path / "pixels.npy"
    if not pixels.exists():
        pixels.symlink_to(Path("..") / "pixels.npy")
    torch.manual_seed(seed)
    network = random_network(like, len(cases.labels))
    train(control, recipe.recipe, cases, network, compute, reporter, seed=seed, from_scratch=True)
