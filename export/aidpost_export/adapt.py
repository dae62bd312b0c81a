"""Adapt: from a recipe, a dataset and a base to a trained network in a run folder.

Every step leaves a file and is skipped when the file is there, so an interrupted run goes on where it stopped and
ends with the same weights. A folder made from other inputs is refused, never mixed.
"""

from __future__ import annotations

import hashlib
import io
import platform
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from aidpost_device import __version__
from aidpost_device.durable import write_durably
from aidpost_export.cases import Cases
from aidpost_export.dataset import build_cases, dataset_digest, is_synthetic, prepare_cases, read_dataset
from aidpost_export.errors import RunError
from aidpost_export.finetune import FineTuning, Material, Stages, set_batch_norm_momentum
from aidpost_export.frozen import EagerStages, FrozenStages
from aidpost_export.head import Head, choose_strength, fit_head
from aidpost_export.losses import tuning_loss
from aidpost_export.network import NetworkRecord, ScreeningNetwork, load_base, named_record, random_network
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Activation, Recipe, RecipeSource
from aidpost_export.run import RunFolder, RunRecord
from aidpost_export.threads import choose_threads

SAME = ("recipe_sha256", "dataset_sha256", "base_sha256", "seed", "limit")
"""What must agree for a run folder to be taken up again."""


@dataclass(frozen=True)
class Compute:
    """What the training runs on."""

    device: str
    """`cpu` or `cuda`."""
    threads: int
    """Threads of torch and ONNX Runtime; part of what makes a run repeat exactly."""


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
    folder = RunFolder(run)
    run.mkdir(parents=True, exist_ok=True)
    fresh = not (run / "run.json").is_file()
    scans = read_dataset(data, recipe.recipe, reporter, scratch=run)
    cases, _ = build_cases(
        data,
        recipe.recipe,
        seed=seed,
        limit=limit,
        skip_bad=skip_bad,
        scans=scans,
        issues_file=run / "issues.json" if fresh else None,
    )
    _claim(folder, _record(recipe, data, cases, base, limit=limit, seed=seed), recipe)
    cases.write(run / "cases.csv")
    if not (run / "pixels.npy").is_file():
        prepare_cases(cases, data, recipe.recipe.input, run / "pixels.npy", reporter, scans)
    compute = Compute(choose_device(device), threads or choose_threads())
    torch.set_num_threads(compute.threads)
    torch.manual_seed(seed)
    findings = len(cases.labels)
    network = load_base(base, findings) if base else random_network(named_record(architecture, findings), findings)
    _train(folder, recipe.recipe, cases, network, compute, reporter, seed=seed, from_scratch=base is None)
    if control and base is not None:
        _train_control(folder, recipe, cases, network.record, compute, reporter, seed=seed)
    return folder


def choose_device(wish: str) -> str:
    """Resolve `auto` to `cuda` where there is one, else `cpu`. Raises `RunError` for a GPU that is not there."""
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise RunError("This machine has no CUDA device that torch can use.", "Leave --device at auto, or say cpu.")
    return wish


def _train(
    folder: RunFolder,
    recipe: Recipe,
    cases: Cases,
    network: ScreeningNetwork,
    compute: Compute,
    reporter: Reporter,
    *,
    seed: int,
    from_scratch: bool,
) -> None:
    """Train the network on the run's pixels and leave model and logits in the folder."""
    if (folder.path / "logits.npy").is_file():
        return
    pixels = folder.pixels()
    material = Material(pixels, cases.targets, cases.patients, cases.where("fit"), cases.where("tuning"))
    set_batch_norm_momentum(network)
    network.to(compute.device)
    depth = 0 if from_scratch else round(recipe.training.train_from * len(network.stages))
    stages = _frozen(network, depth, recipe, compute)
    if not from_scratch:
        _start_head(folder, recipe, network, stages, depth, material, compute, reporter)
    FineTuning(
        network,
        stages,
        depth,
        recipe,
        material,
        folder=folder.path,
        seed=seed,
        device=compute.device,
        from_scratch=from_scratch,
    ).run(reporter)
    embeddings = _embed_rows(network, stages, depth, pixels, np.arange(len(cases)), compute, reporter)
    _settle_head(network, embeddings, material, recipe.activation)
    network.save(folder.path)
    _save_array(folder.path / "logits.npy", _head_of(network).logits(embeddings).astype(np.float32))
    (folder.path / "checkpoint.pt").unlink(missing_ok=True)


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
    record = msgspec.structs.replace(folder.record(), base="random", base_sha256=None, base_licence="")
    _claim(control, record, recipe)
    cases.write(control.path / "cases.csv")
    pixels = control.path / "pixels.npy"
    if not pixels.exists():
        pixels.symlink_to(Path("..") / "pixels.npy")
    torch.manual_seed(seed)
    network = random_network(like, len(cases.labels))
    _train(control, recipe.recipe, cases, network, compute, reporter, seed=seed, from_scratch=True)


def _start_head(
    folder: RunFolder,
    recipe: Recipe,
    network: ScreeningNetwork,
    stages: Stages,
    depth: int,
    material: Material,
    compute: Compute,
    reporter: Reporter,
) -> None:
    """Fit the head on the base's embeddings, which are cached in the run folder."""
    path = folder.path / "embeddings.npy"
    rows = np.concatenate([material.fit, material.tuning])
    if not path.is_file():
        _save_array(path, _embed_rows(network, stages, depth, material.pixels, rows, compute, reporter))
    embeddings, targets = np.load(path, allow_pickle=False), material.targets[rows]
    strength = choose_strength(embeddings, targets, [material.patients[row] for row in rows], recipe.activation)
    fit = slice(len(material.fit))  # without the tuning cases, which are to judge the epochs that follow
    _set_head(network, fit_head(embeddings[fit], targets[fit], strength, recipe.activation))


def _settle_head(
    network: ScreeningNetwork, embeddings: NDArray[np.float32], material: Material, activation: Activation
) -> None:
    """Fit the head once more on what the stages have become, when that does better on the tuning cases.

    With few cases the regularised fit travels better than what the steps of fine-tuning left in the head.
    """
    rows = np.concatenate([material.fit, material.tuning])
    patients = [material.patients[row] for row in rows]
    strength = choose_strength(embeddings[rows], material.targets[rows], patients, activation)
    refit = fit_head(embeddings[material.fit], material.targets[material.fit], strength, activation)

    def loss(head: Head) -> float:
        return tuning_loss(head.logits(embeddings[material.tuning]), material.targets[material.tuning], activation)

    if loss(refit) < loss(_head_of(network)):
        _set_head(network, fit_head(embeddings[rows], material.targets[rows], strength, activation))


def _head_of(network: ScreeningNetwork) -> Head:
    weight, bias = (value.detach().double().cpu().numpy() for value in (network.head.weight, network.head.bias))
    return Head(weight, bias)


def _set_head(network: ScreeningNetwork, head: Head) -> None:
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))


def _frozen(network: ScreeningNetwork, depth: int, recipe: Recipe, compute: Compute) -> Stages:
    """Pick how the stages that do not learn are run."""
    if depth == 0 or compute.device != "cpu":
        return EagerStages(network, depth, compute.device)
    shape = {"size": recipe.input.size, "channels": recipe.input.channels}
    return FrozenStages(network, depth, **shape, threads=compute.threads)


@torch.no_grad()
def _embed_rows(
    network: ScreeningNetwork,
    stages: Stages,
    depth: int,
    pixels: NDArray[np.uint8],  # (N, H, W, C)
    rows: NDArray[np.intp],
    compute: Compute,
    reporter: Reporter,
) -> NDArray[np.float32]:
    """Embeddings of some of the cases.  # (len(rows), D)"""
    network.eval()
    parts = []
    with reporter.bar("Embedding", len(rows)) as bar:
        for start in range(0, len(rows), 32):
            batch = np.ascontiguousarray(pixels[rows[start : start + 32]].transpose(0, 3, 1, 2))
            features = stages(torch.from_numpy(batch)).to(compute.device)
            for stage in list(network.stages)[depth:]:
                features = stage(features)
            parts.append(features.mean((2, 3)).cpu().numpy())
            bar.advance(len(batch))
    return np.concatenate(parts)


# ---- the record -----------------------------------------------------------------------------------------------------


def _record(
    recipe: RecipeSource, data: Path, cases: Cases, base: Path | None, *, limit: int | None, seed: int
) -> RunRecord:
    packages = ("torch", "transformers", "onnxruntime", "scikit-learn", "numpy", "pydicom", "pillow")
    return RunRecord(
        recipe=recipe.recipe.name,
        recipe_sha256=recipe.sha256,
        dataset=data.resolve().name,
        dataset_sha256=dataset_digest(cases),
        base=base.resolve().name if base else "random",
        base_sha256=_digest_base(base) if base else None,
        base_licence=_licence(base) if base else "",
        seed=seed,
        limit=limit,
        synthetic=is_synthetic(data),
        created=date.today().isoformat(),  # noqa: DTZ011 - the day as people here count it
        versions={
            "aidpost": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    )


def _claim(folder: RunFolder, record: RunRecord, recipe: RecipeSource) -> None:
    """Write the record into an empty folder, or see that the folder was made from the same inputs."""
    path = folder.path / "run.json"
    if path.is_file():
        earlier = folder.record()
        if differing := [name for name in SAME if getattr(earlier, name) != getattr(record, name)]:
            raise RunError(
                f"{folder.path} holds another run (different: {', '.join(differing)}).",
                "Name an empty folder with --run, or the inputs this run was begun with.",
            )
        return
    write_durably(folder.path / "recipe.toml", recipe.text.encode())
    write_durably(folder.path / "CARD.md", recipe.card.encode())
    folder.write_json("run.json", record)


def _digest_base(base: Path) -> str:
    """Digest of the base's weights and the file that says how to build it."""
    digest = hashlib.sha256()
    for name in ("network.json", "config.json", "preprocessor_config.json", "model.safetensors"):
        if (base / name).is_file():
            digest.update(name.encode() + b"\0" + (base / name).read_bytes())
    return digest.hexdigest()


def _licence(base: Path) -> str:
    """First line of the base's licence file, "not stated" where there is none."""
    for name in ("LICENSE", "LICENCE", "LICENSE.txt"):
        if (base / name).is_file():
            lines = (base / name).read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip() for line in lines if line.strip()), "not stated")[:200]
    return "not stated"


def _save_array(path: Path, array: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_durably(path, buffer.getvalue())
