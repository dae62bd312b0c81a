"""The run folder: what each step of the workstation leaves for the next. Every figure can be traced to a file here.

run.json              how the run was made (inputs' digests, seed, limit, versions)
recipe.toml CARD.md   the recipe as it was
issues.json           what the dataset checks found and what was skipped
cases.csv             the cases with targets and roles
pixels.npy            prepared pixels of all cases            (N, H, W, C) uint8
model.safetensors     the adapted network; network.json says how to build it
history.csv           losses and AUROC per epoch
logits.npy            logits of the adapted network           (N, K) float32
control/              the from-scratch control: the same files, made from random weights
evaluation.json       the figures; plots/*.svg; report.html
device/               graphs, variants and their outputs on the cases, per target
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from aidpost_device.durable import write_durably
from aidpost_export.cases import Cases
from aidpost_export.errors import RunError
from aidpost_export.recipe import RecipeSource, load_recipe


class RunRecord(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a run was made."""

    recipe: str
    recipe_sha256: str
    dataset: str
    """Name of the data folder."""
    dataset_sha256: str
    """Digest over the rows and the files' digests."""
    base: str
    """Name of the base folder, "random" and an architecture for none."""
    base_sha256: str | None
    base_licence: str
    seed: int
    limit: int | None
    """Labels used at most; None for all."""
    synthetic: bool
    """Whether the data were generated."""
    created: str
    """Date, ISO 8601."""
    versions: dict[str, str]


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Readers raise `RunError` naming the step that makes what is missing."""

    path: Path

    def file(self, name: str, step: str) -> Path:
        """Path of a file that an earlier step made."""
        path = self.path / name
        if not path.is_file():
            raise RunError(f"{path} is missing.", f"Run `aidpost export {step}` on this run first.")
        return path

    def record(self) -> RunRecord:
        """How this run was made."""
        return msgspec.json.decode(self.file("run.json", "adapt").read_bytes(), type=RunRecord)

    def recipe(self) -> RecipeSource:
        """The recipe as it was when the run began."""
        self.file("recipe.toml", "adapt")
        return load_recipe(str(self.path))

    def cases(self) -> Cases:
        """The cases with targets and roles."""
        return Cases.read(self.file("cases.csv", "adapt"))

    def pixels(self) -> NDArray[np.uint8]:
        """Prepared pixels of all cases, mapped from disk.  # (N, H, W, C) uint8"""
        array: NDArray[np.uint8] = np.load(self.file("pixels.npy", "adapt"), mmap_mode="r", allow_pickle=False)
        return array

    def logits(self) -> NDArray[np.float32]:
        """Logits of the adapted float network on all cases.  # (N, K) float32"""
        array: NDArray[np.float32] = np.load(self.file("logits.npy", "adapt"), allow_pickle=False)
        return array

    def write_json(self, name: str, value: Any) -> None:
        """Write a struct or plain value as readable JSON, durably."""
        write_durably(self.path / name, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def control(self) -> RunFolder | None:
        """The from-scratch control, when it was trained."""
        folder = RunFolder(self.path / "control")
        return folder if (folder.path / "logits.npy").is_file() else None
