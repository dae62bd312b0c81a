"""Fine-tuning: the last stages and the head learn, the batch norms of a pretrained base stay as they are.

Each epoch draws its randomness from (seed, epoch) alone, so a run that was interrupted ends with the same weights as
one that was not. The weights are a moving average. Which of them are kept is judged on the tuning cases, and a
difference of less than a standard error is no difference, for the few cases there are: of a schedule that came to its
end the last weights are kept unless an earlier epoch was better, and the starting ones unless those are beaten. An
epoch that is better by chance alone would trade a base that travels for what is peculiar to these cases.
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aidpost_device.durable import write_durably
from aidpost_export.augment import augment
from aidpost_export.losses import training_loss, tuning_losses
from aidpost_export.network import ScreeningNetwork
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe
from aidpost_export.statistics import auroc

Stages = Callable[[Tensor], Tensor]
"""Grey levels (N, C, H, W) → features of the last frozen stage."""


class Tail(nn.Module):
    """The stages that learn, and the head."""

    def __init__(self, network: ScreeningNetwork, depth: int, dropout: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(list(network.stages)[depth:])
        self.head = network.head
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Give the logits.  # (N, D, h, w) → (N, K)"""
        for stage in self.stages:
            features = stage(features)
        logits: Tensor = self.head(self.dropout(features.mean((2, 3))))
        return logits


@dataclass(frozen=True)
class Material:
    """What is learnt from."""

    pixels: NDArray[np.uint8]  # (N, H, W, C)
    targets: NDArray[np.float32]  # (N, K)
    patients: tuple[str, ...]
    fit: NDArray[np.intp]
    tuning: NDArray[np.intp]


@dataclass
class _State:
    epoch: int = 0
    best_epoch: int = 0
    best_losses: list[float] = field(default_factory=list)
    """Of each tuning case, at the best epoch."""
    best: dict[str, Tensor] = field(default_factory=dict)
    last_losses: list[float] = field(default_factory=list)
    """Of each tuning case, now."""
    start_losses: list[float] = field(default_factory=list)
    """Of each tuning case, before the first epoch; empty for random weights."""
    start: dict[str, Tensor] = field(default_factory=dict)
    history: list[tuple[int, float, float, float]] = field(default_factory=list)


class FineTuning:
    """One fine-tuning of a network's tail, epoch by epoch, that can be taken up again after an interruption."""

    def __init__(
        self,
        network: ScreeningNetwork,
        frozen: Stages,
        depth: int,
        recipe: Recipe,
        material: Material,
        *,
        folder: Path,
        seed: int,
        device: str,
        from_scratch: bool,
    ) -> None:
        self._network, self._frozen, self._recipe, self._material = network, frozen, recipe, material
        self._folder, self._seed, self._device, self._from_scratch = folder, seed, device, from_scratch
        schedule = recipe.training
        self.epochs = schedule.scratch_epochs if from_scratch else schedule.epochs
        self._tail = Tail(network, depth, schedule.dropout).to(device)
        self._average = copy.deepcopy(self._tail)
        self._optimizer = torch.optim.AdamW(self._rates(), weight_decay=schedule.weight_decay)
        batches = -(-len(material.fit) // schedule.batch)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            [group["lr"] for group in self._optimizer.param_groups],
            total_steps=self.epochs * batches,
            pct_start=0.15,
        )
        self._steps = 0
        self._state = _State()

    def run(self, reporter: Reporter) -> None:
        """Train until the tuning loss stops falling, then leave the best weights in the network."""
        if not self._take_up() and not self._from_scratch:
            self._judge(float("nan"))
            self._state.start, self._state.start_losses = self._state.best, self._state.best_losses
        patience = self.epochs if self._from_scratch else self._recipe.training.patience
        with reporter.bar("From scratch" if self._from_scratch else "Fine-tuning", self.epochs) as bar:
            bar.advance(self._state.epoch)
            while self._state.epoch < self.epochs and self._state.epoch - self._state.best_epoch < patience:
                loss = self._train_epoch(self._state.epoch + 1)
                self._state.epoch += 1
                self._judge(loss)
                self._keep()
                bar.advance(1, f"tuning loss {self._state.history[-1][2]:.3f}, AUROC {self._state.history[-1][3]:.3f}")
        kept, weights = self._choose()
        self._tail.load_state_dict(weights)
        told = {"epochs": self._state.epoch, "kept": kept}
        write_durably(self._folder / "training.json", msgspec.json.encode(told) + b"\n")
        self._network.eval()

    def _choose(self) -> tuple[int, dict[str, Tensor]]:
        """Pick the weights to keep, and their epoch; 0 is before the first."""
        state = self._state
        kept, weights, losses = state.best_epoch, state.best, state.best_losses
        if state.epoch == self.epochs and not self._beats(losses, state.last_losses):
            kept, weights, losses = state.epoch, self._average.state_dict(), state.last_losses
        if state.start and not self._beats(losses, state.start_losses):
            kept, weights = 0, state.start
        return kept, weights

    def _beats(self, losses: list[float], others: list[float]) -> bool:
        """Say whether losses on the tuning cases are lower by more than a standard error, each patient drawn whole."""
        gain = np.array(others) - np.array(losses)
        patients = [self._material.patients[row] for row in self._material.tuning]
        _, which = np.unique(patients, return_inverse=True)
        deviation = np.bincount(which, gain - gain.mean())
        return bool(gain.mean() > np.sqrt((deviation**2).sum()) / len(gain))

    def _rates(self) -> list[dict[str, Any]]:
        """One group per stage: the nearer to the input, the smaller the rate (Howard and Ruder, ACL 2018)."""
        schedule = self._recipe.training
        parts = [*self._tail.stages, self._tail.head]
        top = schedule.scratch_learning_rate if self._from_scratch else schedule.learning_rate
        decay = 1.0 if self._from_scratch else schedule.decay
        return [
            {"params": list(part.parameters()), "lr": top * decay ** (len(parts) - 1 - depth)}
            for depth, part in enumerate(parts)
        ]

    def _train_epoch(self, epoch: int) -> float:
        """Learn from every training case once. Returns the mean loss, nats."""
        torch.manual_seed(self._seed * 1_000_003 + epoch)
        order = self._material.fit[torch.randperm(len(self._material.fit)).numpy()]
        batch = self._recipe.training.batch
        self._tail.train()
        if not self._from_scratch:
            freeze_batch_norms(self._tail)
        total = 0.0
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            if self._from_scratch and len(rows) < 2:
                continue  # a batch of one has no spread to normalise by
            images = augment(_channels_first(self._material.pixels[rows]), self._recipe.augmentation)
            features = self._frozen(images).to(self._device)
            targets = torch.from_numpy(self._material.targets[rows]).to(self._device)
            smoothing = self._recipe.training.smoothing
            loss = training_loss(self._tail(features), targets, self._recipe.activation, smoothing)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            self._follow()
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def _follow(self) -> None:
        """Move the averaged weights towards the present ones; statistics of batch norms are copied."""
        self._steps += 1
        decay = min(self._recipe.training.average, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            for weight, present in zip(self._average.parameters(), self._tail.parameters(), strict=True):
                weight.lerp_(present, 1 - decay)
            for statistic, now in zip(self._average.buffers(), self._tail.buffers(), strict=True):
                statistic.copy_(now)

    def _judge(self, loss: float) -> None:
        """Measure the averaged weights on the tuning cases and remember them when they are the best so far."""
        targets = self._material.targets[self._material.tuning]
        logits = self._logits(self._material.tuning)
        losses = tuning_losses(logits, targets, self._recipe.activation)
        areas = [auroc(score, target) for score, target in zip(logits.T, targets.T, strict=True)]
        known = [area for area in areas if area is not None]
        tuning, area = float(losses.mean()), float(np.mean(known)) if known else float("nan")
        self._state.history.append((self._state.epoch, loss, tuning, area))
        self._state.last_losses = losses.tolist()
        if not self._state.best or tuning < np.mean(self._state.best_losses):
            self._state.best_losses, self._state.best_epoch = losses.tolist(), self._state.epoch
            self._state.best = {name: value.clone() for name, value in self._average.state_dict().items()}

    @torch.no_grad()
    def _logits(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        self._average.eval()
        parts = [
            self._average(self._frozen(_channels_first(self._material.pixels[rows[i : i + 32]])).to(self._device))
            for i in range(0, len(rows), 32)
        ]
        return torch.cat(parts).double().cpu().numpy()

    # ---- interruption ----

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def _keep(self) -> None:
        """Write everything that the next epoch depends on."""
        buffer = io.BytesIO()
        state = {
            "tail": self._tail.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "steps": self._steps,
            "state": vars(self._state),
        }
        torch.save(state, buffer)
        write_durably(self._checkpoint, buffer.getvalue())
        self._write_history()

    def _take_up(self) -> bool:
        """Go on from the last whole epoch, when there is one."""
        if not self._checkpoint.is_file():
            return False
        kept = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
        self._tail.load_state_dict(kept["tail"])
        self._average.load_state_dict(kept["average"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._schedule.load_state_dict(kept["schedule"])
        self._steps = kept["steps"]
        self._state = _State(**kept["state"])
        return True

    def _write_history(self) -> None:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["epoch", "train_loss", "tuning_loss", "tuning_auroc"])
        writer.writerows(self._state.history)
        write_durably(self._folder / "history.csv", buffer.getvalue().encode())


def freeze_batch_norms(module: nn.Module) -> None:
    """Keep the running statistics of every batch norm as they are; weights still learn.

    A few hundred cases in batches of sixteen give worse statistics than the base brought along.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def set_batch_norm_momentum(module: nn.Module, momentum: float = 0.1) -> None:
    """Give batch norms torch's momentum: some bases carry TensorFlow's number, which means the opposite here."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = momentum


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) → (N, C, H, W)"""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
