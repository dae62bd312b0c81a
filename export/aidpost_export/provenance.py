"""Where a run comes from: the record of its inputs, and the check that a folder belongs to them."""

from __future__ import annotations

import hashlib
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

from aidpost_device import __version__
from aidpost_device.durable import write_durably
from aidpost_export.cases import Cases
from aidpost_export.compute import Compute
from aidpost_export.dataset import dataset_digest
from aidpost_export.errors import RunError
from aidpost_export.recipe import RecipeSource
from aidpost_export.run import RunFolder, RunRecord

SAME = ("recipe_sha256", "dataset_sha256", "base", "base_sha256", "seed", "limit")
"""What must agree for a run folder to be taken up again."""


def describe(
    recipe: RecipeSource,
    data: Path,
    cases: Cases,
    base: Path | str,
    compute: Compute,
    *,
    limit: int | None,
    seed: int,
    synthetic: bool,
) -> RunRecord:
    """Describe a run by its inputs' digests and the programs that make it.

    `base` is a folder, or the architecture that starts from random weights.
    """
    packages = ("torch", "transformers", "onnxruntime", "scikit-learn", "numpy", "pydicom", "pillow")
    return RunRecord(
        recipe=recipe.recipe.name,
        recipe_sha256=recipe.sha256,
        dataset=data.resolve().name,
        dataset_sha256=dataset_digest(cases),
        base=base.resolve().name if isinstance(base, Path) else random_base(base),
        base_sha256=_digest_base(base) if isinstance(base, Path) else None,
        base_licence=_licence(base) if isinstance(base, Path) else "",
        seed=seed,
        limit=limit,
        synthetic=synthetic,
        created=date.today().isoformat(),  # noqa: DTZ011 - the day as people here count it
        versions={
            "aidpost": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        device=compute.device,
        threads=compute.threads,
    )


def random_base(architecture: str) -> str:
    """How random weights are named where a base would be."""
    return f"random {architecture}"


def claim(folder: RunFolder, record: RunRecord, recipe: RecipeSource) -> None:
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


def in_first_order(folder: RunFolder, cases: Cases) -> Cases:
    """The cases in the order that the folder's arrays were written in.

    The digest does not see the order of the index, and a table that was sorted gives the same scans other places and
    often another cut. Raises `RunError` when more than the order differs.
    """
    path = folder.path / "cases.csv"
    if not path.is_file():
        return cases
    earlier = Cases.read(path)
    if sorted(earlier.sha256) != sorted(cases.sha256):
        differing = ["scans"]
    else:
        places = {sha256: row for row, sha256 in enumerate(cases.sha256)}
        cases = cases.take([places[sha256] for sha256 in earlier.sha256])
        pairs = {
            "labels": (cases.targets.tolist(), earlier.targets.tolist()),
            "patients": (cases.patients, earlier.patients),
            "roles": (cases.roles, earlier.roles),
        }
        differing = [what for what, (now, before) in pairs.items() if now != before]
    if differing:
        raise RunError(
            f"{path} was written with other {' and '.join(differing)} than the index gives now; the order of its rows "
            "is a part of the cut.",
            "Name a new folder with --run, or bring the index back to the order that this run was begun with.",
        )
    return cases


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
