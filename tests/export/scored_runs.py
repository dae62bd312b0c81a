"""Run folders as `adapt` leaves them, with drawn logits instead of a trained network: for the steps that only measure.

The network "sees" a hidden severity that follows the finding; the noise on it sets the AUROC. Positives are a little
brighter and older, so that the shortcut probes have something to find.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aidpost_export.cases import ROLES, Cases
from aidpost_export.run import RunFolder, RunRecord

SHARES = {"fit": 0.4, "tuning": 0.1, "calibration": 0.2, "validation": 0.3}


@dataclass(frozen=True)
class Plan:
    """What kind of run to make."""

    task: str = "binary"
    findings: tuple[str, ...] = ("pneumonia",)
    patients: int = 400
    images_each: int = 1
    skill: float = 2.0
    """Standard deviations between the scores of positives and negatives."""
    control_skill: float | None = 1.0
    synthetic: bool = False
    seed: int = 7


def write_run(folder: Path, plan: Plan) -> RunFolder:
    """Write a run folder and return it."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(plan.seed)
    cases = _cases(plan, generator)
    cases.write(folder / "cases.csv")
    np.save(folder / "logits.npy", _logits(cases, plan, plan.skill, generator))
    bright = 90 + 20 * cases.targets.max(axis=1) * (plan.task != "multiclass")
    bright = generator.normal(bright, 18)
    pixels = generator.normal(bright[:, None, None, None], 25, (len(cases), 32, 32, 1))
    np.save(folder / "pixels.npy", pixels.clip(0, 255).astype(np.uint8))
    (folder / "recipe.toml").write_text(_recipe(plan))
    (folder / "CARD.md").write_text("# A card\n")
    rows = [(e, "nan" if e == 0 else 1 / (e + 1), 0.6 - 0.05 * e + 0.006 * e * e, 0.7 + 0.02 * e) for e in range(9)]
    lines = ["epoch,train_loss,tuning_loss,tuning_auroc", *(",".join(map(str, row)) for row in rows)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    run = RunFolder(folder)
    run.write_json("run.json", _record(plan, hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()))
    run.write_json("training.json", {"epochs": 8, "kept": 4})
    if plan.control_skill is not None:
        (folder / "control").mkdir()
        np.save(folder / "control" / "logits.npy", _logits(cases, plan, plan.control_skill, generator))
    return run


def _cases(plan: Plan, generator: np.random.Generator) -> Cases:
    count, kinds = plan.patients * plan.images_each, len(plan.findings)
    patient = np.repeat(np.arange(plan.patients), plan.images_each)
    if plan.task == "multiclass":
        targets = np.eye(kinds)[generator.integers(kinds, size=plan.patients)][patient]
    else:
        targets = (generator.random((plan.patients, kinds)) < 0.45).astype(float)[patient]
    role = generator.choice(list(SHARES), size=plan.patients, p=list(SHARES.values()))[patient]
    ill = targets[:, 0]
    age = (generator.normal(40 + 12 * ill, 18).clip(0, 95)).round().astype(int)
    return Cases(
        labels=plan.findings,
        files=tuple(f"images/{i}.png" for i in range(count)),
        sha256=tuple(f"{i:064x}" for i in range(count)),
        targets=targets.astype(np.float32),
        roles=tuple(name for r in role for name in ROLES if name == r),
        patients=tuple(f"p{i}" for i in patient),
        columns={
            "sex": tuple(generator.choice(["F", "M", ""], size=count, p=[0.48, 0.48, 0.04])),
            "age": tuple(map(str, age)),
            "site": ("clinic",) * count,
            "view": ("",) * count,
        },
    )


def _logits(cases: Cases, plan: Plan, skill: float, generator: np.random.Generator) -> np.ndarray:
    severity = generator.normal(size=cases.targets.shape) + skill * (cases.targets - 0.5)
    return (3 * severity).astype(np.float32)


def _recipe(plan: Plan) -> str:
    findings = "\n".join(
        f'[[finding]]\nlabel = "{f}"\nnames = {{ en = "{f}" }}\nrefers = {str(f != "normal").lower()}'
        + ("\nprevalence = 0.05" if plan.task == "multiclass" and f != "normal" else "")
        for f in plan.findings
    )
    negative = "" if plan.task == "multiclass" else 'negative = ["normal"]\n'
    return (
        f'name = "trial"\ntitle = {{ en = "Trial recipe" }}\ntask = "{plan.task}"\nprevalence = 0.05\n{negative}'
        f'[input]\nkind = "image"\nsize = 32\nchannels = 1\n[detectors]\ndistance = false\n{findings}\n'
    )


def _record(plan: Plan, recipe_sha256: str) -> RunRecord:
    return RunRecord(
        recipe="trial",
        recipe_sha256=recipe_sha256,
        dataset="drawn",
        dataset_sha256="b" * 64,
        base="base",
        base_sha256="c" * 64,
        base_licence="Apache-2.0",
        seed=plan.seed,
        limit=None,
        synthetic=plan.synthetic,
        created="2026-01-02",
        versions={"aidpost": "0.1.0"},
    )
