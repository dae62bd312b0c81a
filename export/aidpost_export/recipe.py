"""The recipe: everything that makes one screening task, as data. A new disease is a new recipe, no new code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from aidpost_device.bundle.manifest import Finding, ImageInput, Zone
from aidpost_device.bundle.section import Fraction, Label, Slug
from aidpost_device.reason import RETAKES, Reason
from aidpost_export.errors import RecipeError

SMALLEST = 10
"""Fewest positives and negatives for which a group of people is shown, unless a recipe says otherwise."""
AUROC_LOSS = 0.005
"""Largest fall of the AUROC by quantisation."""
FLIPS = 0.01
"""Largest fraction of verdicts that quantisation may change."""
SENSITIVITY_LOSS, GROUP_SENSITIVITY_LOSS = 0.01, 0.02
"""Largest falls of the sensitivity by quantisation that intervals may reach, over all and within a group."""
Activation = Literal["sigmoid", "softmax"]
"""How logits become probabilities: findings independent, or exactly one of them."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a recipe's sections."""


class Augmentation(Part, frozen=True, kw_only=True):
    """Random changes of the training images; each amount is the largest one."""

    rotate: Annotated[float, Meta(ge=0, le=180)] = 8.0
    """Degrees, either way."""
    scale: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Fraction of the size, either way."""
    shift: Annotated[float, Meta(ge=0, lt=1)] = 0.04
    """Fraction of the image's side, either way."""
    gamma: Annotated[float, Meta(ge=0, lt=2)] = 0.25
    """Natural logarithm of the exponent, either way."""
    contrast: Annotated[float, Meta(ge=0, lt=1)] = 0.15
    brightness: Annotated[float, Meta(ge=0, lt=1)] = 0.08
    """Fraction of the grey scale, either way."""
    flip: Literal["none", "horizontal", "dihedral"] = "none"
    """`dihedral`: all eight flips and quarter turns, for images without an up (smears, skin)."""


class Training(Part, frozen=True, kw_only=True):
    """The schedule of the fine-tuning."""

    epochs: Annotated[int, Meta(ge=1, le=500)] = 12
    """Passes over the training rows, at most."""
    patience: Annotated[int, Meta(ge=1)] = 5
    """Epochs without a better tuning loss before it stops."""
    batch: Annotated[int, Meta(ge=2, le=512)] = 16
    """Images per step."""
    learning_rate: Annotated[float, Meta(gt=0, lt=1)] = 3e-4
    """Peak rate of the head; earlier stages get less."""
    decay: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Factor on the learning rate per stage towards the input."""
    weight_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.02
    smoothing: Annotated[float, Meta(ge=0, lt=0.5)] = 0.05
    """Label smoothing."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.98
    """Decay of the exponential moving average of the weights; 0 takes the last weights."""
    train_from: Fraction = 0.6
    """Depth at which training begins: stages before this fraction of the backbone stay frozen."""
    scratch_epochs: Annotated[int, Meta(ge=1, le=500)] = 15
    """Passes of a training from random weights (a base of one's own, or the control)."""
    scratch_learning_rate: Annotated[float, Meta(gt=0, lt=1)] = 2e-3
    """Peak rate of a training from random weights, the same for all stages."""


class Split(Part, frozen=True, kw_only=True):
    """What is cut from the training rows, by patient."""

    tuning: Annotated[float, Meta(gt=0, lt=0.5)] = 0.12
    """Fraction for early stopping."""
    calibration: Annotated[float, Meta(gt=0, lt=0.5)] = 0.2
    """Fraction for temperature, operating point and the gates of quantisation."""


class Gates(Part, frozen=True, kw_only=True):
    """What a model may lose in some group of people, and an INT8 graph against the float graph (only tightened)."""

    smallest_group: Annotated[int, Meta(ge=5)] = SMALLEST
    """Fewest positives (for sensitivity) and negatives (for specificity; both for AUROC) that a group is shown with.

    With fewer, an interval spans most of the scale and single people could be recognised.
    """
    group_fall: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    """How far a group's sensitivity may fall below that of all, before `pack` demands a reason."""
    auroc_loss: Annotated[float, Meta(ge=0, le=AUROC_LOSS)] = AUROC_LOSS
    """Largest fall of the AUROC by quantisation."""
    flips: Annotated[float, Meta(ge=0, le=FLIPS)] = FLIPS
    """Largest fraction of verdicts that quantisation changes."""
    sensitivity_loss: Annotated[float, Meta(gt=0, le=SENSITIVITY_LOSS)] = SENSITIVITY_LOSS
    """Largest fall of the sensitivity by quantisation that its interval may reach."""
    group_sensitivity_loss: Annotated[float, Meta(gt=0, le=GROUP_SENSITIVITY_LOSS)] = GROUP_SENSITIVITY_LOSS
    """The same within each group of people."""


class Unsure(Part, frozen=True, kw_only=True):
    """When the box says UNSURE because the model cannot tell."""

    coverage: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    """Share of those who have a finding, and of those who do not, whose answer is right or UNSURE."""
    most: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """Largest share of people that may be UNSURE for a finding at its prevalence; 0: the model always answers."""


class Detectors(Part, frozen=True, kw_only=True):
    """What the box looks for before it believes a reading."""

    faults: tuple[Slug, ...] = ()
    """Faults for which a scan is to be taken again, by the codes of their reasons."""
    false_repeats: Annotated[float, Meta(ge=0.001, le=0.2)] = 0.02
    """Share of good scans that may be sent back, for all faults together."""
    distance: bool = True
    """Whether scans that are unlike the training scans are refused."""
    false_refusals: Annotated[float, Meta(ge=0.001, le=0.2)] = 0.02
    """Share of good scans that may be refused as unlike."""


class RecipeFinding(Finding, frozen=True, kw_only=True):
    """A finding with what only the workstation needs to know of it."""

    prevalence: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Share of people with it where the model will be used; None takes the recipe's."""
    target_sensitivity: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Sensitivity its operating point is chosen for; None takes the recipe's."""

    def for_boxes(self) -> Finding:
        """The finding as it stands in a manifest."""
        return Finding(**{name: getattr(self, name) for name in Finding.__struct_fields__})


class Recipe(Part, frozen=True, kw_only=True):
    """One screening task."""

    name: Slug
    title: dict[str, str]
    """Display title per language; `en` is always there."""
    task: Literal["binary", "multiclass", "multilabel"]
    """`binary`: one finding or none; `multiclass`: exactly one; `multilabel`: any number, separated by `|`."""
    input: ImageInput
    finding: Annotated[tuple[RecipeFinding, ...], Meta(min_length=1, max_length=64)]
    negative: tuple[Label, ...] = ()
    """Labels in `index.csv` that mean none of the findings (binary and multilabel)."""
    label_column: str = "label"
    """Column of `index.csv` that holds the label."""
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    split: Split = Split()
    detectors: Detectors = Detectors()
    target_sensitivity: Annotated[float, Meta(gt=0.5, lt=1)] = 0.9
    """Sensitivity that operating points are chosen for on the calibration set, of findings that state none."""
    prevalence: Annotated[float, Meta(gt=0, lt=1)]
    """Prevalence for which predictive values are reported, of findings that state none of their own."""
    groups: tuple[str, ...] = ("sex", "age", "site", "view")
    """Columns the evaluation reports by; `age` is banded."""
    gates: Gates = Gates()
    unsure: Unsure = Unsure()
    zones: tuple[Zone, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The findings' labels in the order of the graph's outputs."""
        return tuple(finding.label for finding in self.finding)

    @property
    def activation(self) -> Activation:
        """How logits become probabilities."""
        return "softmax" if self.task == "multiclass" else "sigmoid"

    def prevalence_of(self, k: int) -> float | None:
        """Prevalence that the predictive values of finding k are for; None where it has none.

        A class that refers nobody, such as "normal", is the absence of the others: nobody is screened for it.
        """
        finding = self.finding[k]
        if self.task == "multiclass" and not finding.refers:
            return None
        return self.prevalence if finding.prevalence is None else finding.prevalence

    def target_of(self, k: int) -> float:
        """Sensitivity that the operating point of finding k is chosen for."""
        own = self.finding[k].target_sensitivity
        return self.target_sensitivity if own is None else own


class RecipeSource(Struct, frozen=True):
    """A recipe with the files it came from."""

    recipe: Recipe
    text: str
    """`recipe.toml` as written."""
    card: str
    """`CARD.md` as written."""

    @property
    def sha256(self) -> str:
        """Digest of `recipe.toml`."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def recipe_folders() -> list[Path]:
    """Folders of the recipes that come with the program, sorted by name."""
    packaged = Path(str(files("aidpost_export"))) / "models"
    root = packaged if packaged.is_dir() else Path(__file__).parents[2] / "models"
    return sorted(path.parent for path in root.glob("*/recipe.toml"))


def load_recipe(name_or_folder: str) -> RecipeSource:
    """Load a recipe by name or from a folder. Raises `RecipeError` naming the file and the key."""
    known = {folder.name: folder for folder in recipe_folders()}
    folder = known.get(name_or_folder, Path(name_or_folder))
    path = folder / "recipe.toml"
    try:
        text, card = path.read_text(encoding="utf-8"), (folder / "CARD.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"There is no recipe {name_or_folder!r}: {error}.",
            "A recipe is a folder with recipe.toml and CARD.md, or one of: " + ", ".join(known) + ".",
        ) from error
    try:
        recipe = msgspec.toml.decode(text, type=Recipe)
    except msgspec.DecodeError as error:
        raise RecipeError(
            f"{path} cannot be accepted: {error}.", "Correct that key; docs/recipes.md lists them."
        ) from error
    _check(recipe, path)
    return RecipeSource(recipe=recipe, text=text, card=card)


def _check(recipe: Recipe, path: Path) -> None:
    def require(condition: bool, message: str) -> None:
        if not condition:
            raise RecipeError(f"{path}: {message}.", "Correct the recipe; docs/recipes.md explains the keys.")

    labels = recipe.labels
    require(len(set(labels)) == len(labels), "a finding's label stands twice")
    require(not set(labels) & set(recipe.negative), "a label is both a finding and negative")
    require(any(finding.refers for finding in recipe.finding), "no finding refers")
    require("en" in recipe.title and all("en" in f.names for f in recipe.finding), "an English name is missing")
    require(recipe.split.tuning + recipe.split.calibration < 0.6, "tuning and calibration take too much of the rows")
    faults = recipe.detectors.faults
    require(len(set(faults)) == len(faults), "a fault stands twice")
    require(Reason.LATERAL not in faults, "a view from the side cannot be made of frontal scans, so it is not learnt")
    if unknown := sorted(set(faults) - set(RETAKES)):
        require(False, f"{unknown[0]!r} is no fault; there are {', '.join(sorted(set(RETAKES) - {Reason.LATERAL}))}")
    if recipe.task == "binary":
        require(len(labels) == 1 and len(recipe.negative) > 0, "a binary task has one finding and a negative label")
    elif recipe.task == "multiclass":
        require(len(labels) > 1 and not recipe.negative, "a multiclass task has several findings and no negative label")
        _check_prevalences(recipe, require)


def _check_prevalences(recipe: Recipe, require: Callable[[bool, str], None]) -> None:
    """See that each class has a prevalence of its own where one number cannot mean all of them."""
    own = [finding.prevalence for finding in recipe.finding if finding.refers]
    require(
        len(own) == 1 or None not in own,
        "several findings of a multiclass task refer, so each of them needs a prevalence of its own",
    )
    require(
        all(finding.refers or finding.prevalence is None for finding in recipe.finding),
        "a finding of a multiclass task that refers nobody states a prevalence, which nothing is computed for",
    )
    require(sum(share for share in own if share) <= 1, "the prevalences of a multiclass task add up to more than 1")
