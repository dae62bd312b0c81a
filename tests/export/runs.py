"""Real run folders in seconds: a few hundred drawn images and a small network that is really trained on them.

Three marks can stand on a noisy ground: a bright blob, a dark blob, stripes. `binary` has the first or none,
`multiclass` exactly one, `multilabel` any number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from aidpost_export.cases import ROLES, Cases
from aidpost_export.finetune import set_batch_norm_momentum
from aidpost_export.network import NetworkRecord, ScreeningNetwork
from aidpost_export.run import RunFolder, RunRecord

MARKS = ("bright", "dark", "stripes")
SHARES = {"fit": 0.5, "tuning": 0.1, "calibration": 0.25, "validation": 0.15}
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet": {
        "model_type": "resnet",
        "layer_type": "basic",
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 24, 32],
        "embedding_size": 8,
    },
    "mobilenet": {"model_type": "mobilenet_v2", "depth_multiplier": 0.35},
}


@dataclass(frozen=True)
class Plan:
    """What kind of run to make."""

    task: str = "binary"
    backbone: str = "resnet"
    cases: int = 320
    size: int = 64
    channels: int = 1
    steps: int = 120
    """Training steps of 32 images."""
    noise: float = 25.0
    """Grey levels of the ground's noise."""
    modalities: tuple[str, ...] = ("DX", "CR")
    seed: int = 0
    faults: tuple[str, ...] = ()
    """What the recipe's detectors look for; without any, nothing is refused for its distance either: that is faster."""


def make_run(folder: Path, plan: Plan = Plan()) -> RunFolder:
    """Draw, train, and leave a run folder as `adapt` does; the images stand in `folder`/data as PNG files."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(plan.seed)
    targets = _targets(plan, random)  # (N, K)
    pixels = _draw(plan, targets, random)  # (N, H, W, C)
    cases = _cases(plan, targets, pixels, random)
    run = RunFolder(folder)
    _write_images(folder / "data", cases, pixels)
    cases.write(folder / "cases.csv")
    np.save(folder / "pixels.npy", pixels)
    (folder / "recipe.toml").write_text(_recipe(plan, cases.labels))
    (folder / "CARD.md").write_text("# Marks\n\n## Intended use\nFinds marks on drawn images; for tests only.\n")
    (folder / "history.csv").write_text("epoch,train_loss,tuning_loss,tuning_auroc\n1,0.5,0.5,0.9\n")
    network = _train(plan, cases, pixels)
    network.save(folder)
    np.save(folder / "logits.npy", _logits(network, pixels))
    run.write_json("run.json", _record(plan, hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()))
    return run


def rewrite_network(run: RunFolder, network: ScreeningNetwork) -> None:
    """Put another network in the place of the run's, with the logits that it gives."""
    network.save(run.path)
    np.save(run.path / "logits.npy", _logits(network, np.array(run.pixels())))


# ---- images ---------------------------------------------------------------------------------------------------------


def _targets(plan: Plan, random: np.random.Generator) -> NDArray[np.float32]:
    if plan.task == "multiclass":
        return np.eye(3, dtype=np.float32)[random.integers(3, size=plan.cases)]
    count = 1 if plan.task == "binary" else 3
    return (random.random((plan.cases, count)) < 0.45).astype(np.float32)


def _draw(plan: Plan, targets: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.uint8]:
    shape = (plan.cases, plan.size, plan.size)
    images = random.normal(120, plan.noise, shape)
    rows, columns = np.mgrid[: plan.size, : plan.size]
    for image, marks in zip(images, targets, strict=True):
        for mark, present in zip(MARKS, marks, strict=False):
            strength = random.uniform(0.5, 1.0) * present  # the faint ones make the task honest
            y, x = random.uniform(0.25, 0.75, 2) * plan.size
            blob = 70 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (plan.size / 10) ** 2))
            change = 35 * np.sin(columns * 2 * np.pi / 8) if mark == "stripes" else blob if mark == "bright" else -blob
            image += strength * change
    grey = np.clip(images, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], plan.channels, axis=-1)


def _write_images(folder: Path, cases: Cases, pixels: NDArray[np.uint8]) -> None:
    folder.mkdir()
    for name, image in zip(cases.files, pixels, strict=True):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / name)


def _cases(plan: Plan, targets: NDArray[np.float32], pixels: NDArray[np.uint8], random: np.random.Generator) -> Cases:
    role = random.choice(list(SHARES), size=plan.cases, p=list(SHARES.values()))
    return Cases(
        labels=MARKS[: targets.shape[1]],
        files=tuple(f"{i:04d}.png" for i in range(plan.cases)),
        sha256=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels),
        targets=targets,
        roles=tuple(name for one in role for name in ROLES if name == one),
        patients=tuple(f"p{i}" for i in range(plan.cases)),
        columns={"sex": tuple("FM"[i % 2] for i in range(plan.cases)), "site": ("drawn",) * plan.cases},
    )


# ---- the network ----------------------------------------------------------------------------------------------------


def _train(plan: Plan, cases: Cases, pixels: NDArray[np.uint8]) -> ScreeningNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    half = (0.5, 0.5, 0.5)
    record = NetworkRecord(architecture=BACKBONES[plan.backbone], mean=half, std=half, findings=cases.targets.shape[1])
    network = ScreeningNetwork(record).train()
    set_batch_norm_momentum(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    rows = cases.where("fit")
    x = torch.from_numpy(np.ascontiguousarray(pixels[rows].transpose(0, 3, 1, 2)))
    y = torch.from_numpy(cases.targets[rows])
    for _ in range(plan.steps):
        chosen = torch.randint(len(x), (32,))
        logits = network(x[chosen]).logits
        loss = (
            F.cross_entropy(logits, y[chosen], label_smoothing=0.05)
            if plan.task == "multiclass"
            else F.binary_cross_entropy_with_logits(logits, y[chosen] * 0.95 + 0.025)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@torch.no_grad()
def _logits(network: ScreeningNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return np.concatenate([network(part).logits.numpy() for part in planes.split(64)])


# ---- the papers -----------------------------------------------------------------------------------------------------


def _recipe(plan: Plan, labels: tuple[str, ...]) -> str:
    own = "prevalence = 0.1\n" if plan.task == "multiclass" else ""
    findings = "\n".join(f'[[finding]]\nlabel = "{label}"\n{own}names = {{ en = "{label} mark" }}' for label in labels)
    negative = "" if plan.task == "multiclass" else 'negative = ["plain"]\n'
    modalities = ", ".join(f'"{one}"' for one in plan.modalities)
    return (
        f'name = "marks"\ntask = "{plan.task}"\nprevalence = 0.1\n{negative}title = {{ en = "Marks" }}\n'
        f'[input]\nkind = "image"\nsize = {plan.size}\nchannels = {plan.channels}\nmodalities = [{modalities}]\n'
        f"[detectors]\nfaults = {list(plan.faults)}\ndistance = {str(bool(plan.faults)).lower()}\n"
        f'{findings}\n[[zones]]\nname = "left half"\nleft = 0.5\ntop = 0\nright = 1\nbottom = 1\n'
    )


def _record(plan: Plan, recipe_sha256: str) -> RunRecord:
    return RunRecord(
        recipe="marks",
        recipe_sha256=recipe_sha256,
        dataset="drawn",
        dataset_sha256="b" * 64,
        base="random",
        base_sha256=None,
        base_licence="",
        seed=plan.seed,
        limit=None,
        synthetic=True,
        created="2026-01-02",
        versions={"aidpost": "0.1.0", "torch": "2.13.0"},
    )
