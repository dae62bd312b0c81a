"""Training of one network on a run's pixels: head, fine-tuning, head once more, logits of all cases."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aidpost_device.durable import write_durably
from aidpost_export.cases import Cases
from aidpost_export.compute import Compute
from aidpost_export.finetune import FineTuning, Material, Stages, set_batch_norm_momentum
from aidpost_export.frozen import EagerStages, FrozenStages
from aidpost_export.head import Head, choose_strength, fit_head
from aidpost_export.losses import tuning_losses
from aidpost_export.network import ScreeningNetwork
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Activation, Recipe
from aidpost_export.run import RunFolder


def train(
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
        tuning = material.tuning
        return float(tuning_losses(head.logits(embeddings[tuning]), material.targets[tuning], activation).mean())

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


def _save_array(path: Path, array: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_durably(path, buffer.getvalue())
