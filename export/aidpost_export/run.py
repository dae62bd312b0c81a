"""The run folder: what each step of the workstation leaves for the next. Every figure can be traced to a file here.

run.json              how the run was made (inputs' digests, seed, limit, versions, device, threads)
recipe.toml CARD.md   the recipe as it was
issues.json           what the dataset checks found and what was skipped
cases.csv             the cases with targets and roles
pixels.npy            prepared pixels of all cases            (N, H, W, C) uint8
model.safetensors     the adapted network; network.json says how to build it
history.csv           losses and AUROC per epoch
logits.npy            logits of the adapted network           (N, K) float32
programme.json        the programme that thresholds are chosen for, where one was adopted
control/              the from-scratch control: the same files, made from random weights
evaluation.json       the figures; plots/*.svg; report.html
device/               graphs, variants and their outputs on the cases, per target
explanation.json      whether the graphs' map shows what moves the probability
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from aidpost_device.durable import write_durably
from aidpost_device.errors import SettingError
from aidpost_export.adopted import ADOPTED, AdoptedProgramme, with_programmes
from aidpost_export.cases import Cases
from aidpost_export.errors import RunError
from aidpost_export.recipe import RecipeSource, load_recipe

_T = TypeVar("_T")


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
    device: str | None = None
    """`cpu` or `cuda`, what trained it; None in the records of earlier versions."""
    threads: int | None = None
    """Threads that trained it: another number gives other last bits. None in the records of earlier versions."""


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
        hint = "Bring the file back as it was, or adapt again with a new --run."
        return self.read_json("run.json", "adapt", RunRecord, hint)

    def recipe(self) -> RecipeSource:
        """The recipe with the targets and prevalences of the programme that was adopted, where one was."""
        source = self.original_recipe()
        recipe = with_programmes(source.recipe, self.adopted(), str(self.path / ADOPTED))
        return msgspec.structs.replace(source, recipe=recipe)

    def adopted(self) -> tuple[AdoptedProgramme, ...]:
        """The programmes that thresholds are chosen for; none where the recipe's own targets hold."""
        if not (self.path / ADOPTED).is_file():
            return ()
        hint = f"Remove {ADOPTED}, and adopt the programme again: aidpost export threshold {self.path} … --adopt"
        try:
            return self.read_json(ADOPTED, "threshold", tuple[AdoptedProgramme, ...], hint)
        except SettingError as error:
            raise RunError(f"{self.path / ADOPTED} cannot be used: {error}", hint) from error

    def original_recipe(self) -> RecipeSource:
        """The recipe as it was when the run began, and only so: figures and thresholds belong to its findings."""
        path = self.file("recipe.toml", "adapt")
        source = load_recipe(str(self.path))
        if source.sha256 != self.record().recipe_sha256:
            raise RunError(
                f"{path} was changed after the run began.",
                "Bring it back as it was. To use another recipe, adapt with it and a new --run.",
            )
        return source

    def cases(self) -> Cases:
        """The cases with targets and roles. Their findings are the recipe's, in its order."""
        path = self.file("cases.csv", "adapt")
        cases = Cases.read(path)
        if (self.path / "recipe.toml").is_file() and cases.labels != (labels := self.recipe().recipe.labels):
            raise RunError(
                f"{path} has the findings {', '.join(cases.labels)}; the recipe has {', '.join(labels)}.",
                "Bring the file back as it was, or adapt again with a new --run.",
            )
        return cases

    def pixels(self) -> NDArray[np.uint8]:
        """Prepared pixels of all cases, mapped from disk.  # (N, H, W, C) uint8"""
        return self._array("pixels.npy", mmap_mode="r")

    def logits(self) -> NDArray[np.float32]:
        """Logits of the adapted float network on all cases.  # (N, K) float32"""
        return self._array("logits.npy")

    def _array(self, name: str, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
        path = self.file(name, "adapt")
        try:
            array: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RunError(f"{path} is damaged: {error}.", "Remove it and give the command of adapt again.") from error
        return array

    def read_json(self, name: str, step: str, kind: type[_T], hint: str) -> _T:
        """Read what `step` left as JSON. Raises `RunError` with the hint for anything else."""
        path = self.file(name, step)
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except msgspec.DecodeError as error:
            raise RunError(f"{path} cannot be read: {error}.", hint) from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a struct or plain value as readable JSON, durably."""
        write_durably(self.path / name, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def control(self) -> RunFolder | None:
        """The from-scratch control, when it was trained."""
        folder = RunFolder(self.path / "control")
        return folder if (folder.path / "logits.npy").is_file() else None
