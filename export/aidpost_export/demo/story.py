"""The demo, step by step: every step but the making of the hospitals is a command that is shown before it runs."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from aidpost_device.cli.main import aidpost
from aidpost_device.durable import write_durably
from aidpost_device.engine import host_target
from aidpost_export.demo.hospital import CLINIC, LARGE, plan_films, write_films, write_hospital
from aidpost_export.demo.stray import write_stray
from aidpost_export.errors import GateError
from aidpost_export.index import read_index
from aidpost_export.progress import Reporter
from aidpost_export.recipe import load_recipe
from aidpost_export.run import RunFolder

ARCHITECTURE = "resnet-10-narrow"
"""Backbone of the demo's base: small enough to be trained from nothing in a minute or two."""
ARCHIVE = Path("clinic", "archive")
"""The clinic's folder of stored scans, in the demo's folder."""
STRAY_FOLDER = "stray"
"""In the archive: what is no chest film."""
ACCEPTED = "Packed by the demo to show the way, not to be used for people."
"""Why the demo's bundle may serve some people worse: the reason that it gives where one is demanded."""
STORED = 200
"""Scans of one's own data that are screened, at most."""


@dataclass(frozen=True)
class Scale:
    """How many films are taken."""

    large: int = 1600
    """Labelled films of the large hospital, for training its base."""
    clinic: int = 200
    """Labelled films of the clinic, for adapting."""
    measured: int = 400
    """Films of the clinic that only measure."""
    archive: int = 80
    """Stored films of the clinic without labels, to be screened."""


@dataclass(frozen=True)
class Own:
    """Somebody's own scans instead of generated ones."""

    data: Path
    base: Path
    recipe: str
    skip_bad: bool


@dataclass(frozen=True)
class Told:
    """Where the story left what it made."""

    run: RunFolder
    base: RunFolder | None
    """The base, when it is a run that can read the cases without adaptation."""
    bundle: Path
    results: Path
    home: Path
    archive: Path | None
    """The generated folder of stored scans."""


def tell(out: Path, own: Own | None, scale: Scale, limit: int, reporter: Reporter) -> Told:
    """Go the whole way in the folder `out`; what is there from an earlier time is taken up. Raises `AidpostError`."""
    out.mkdir(parents=True, exist_ok=True)
    if own:
        recipe, data, base = own.recipe, own.data, own.base
        stored = ["--list", str(_list_stored(own, out))]
    else:
        _make_hospitals(out, scale, reporter)
        recipe, data, base = str(out / "recipes" / "phantom-clinic"), out / "clinic", out / "base"
        stored = [str(out / ARCHIVE)]
    run, key, bundle, results = out / "run", out / "keys" / "demo.key", out / "demo.aidpost", out / "results"
    adapt = ["export", "adapt", recipe, "--data", str(data), "--base", str(base), "--run", str(run)]
    _command([*adapt, "--limit", str(limit), "--control", *(["--skip-bad"] if own and own.skip_bad else [])])
    if not key.is_file():
        key.parent.mkdir(exist_ok=True)
        _command(["export", "keygen", str(key)])
    if not _is_packed(run, bundle):
        _command(["export", "quantize", str(run), "--target", host_target()])
        _command(["export", "evaluate", str(run)])
        _pack(["export", "pack", str(run), "--key", str(key), "--target", host_target(), "--out", str(bundle)])
    with _home(out / "home"):
        _command(["device", "trust", "add", f"{key}.pub", "--yes"])
        _command(["device", "install", str(bundle)])
        _command(["device", "screen", *stored, "--out", str(results)])
    earlier = RunFolder(base) if (base / "run.json").is_file() else None
    return Told(RunFolder(run), earlier, bundle, results, out / "home", None if own else out / ARCHIVE)


def _make_hospitals(out: Path, scale: Scale, reporter: Reporter) -> None:
    """Take the films of both hospitals, train the large one's base, and fill the clinic's archive."""
    packaged = Path(str(files("aidpost_export"))) / "demo" / "recipes"
    shutil.copytree(packaged, out / "recipes", dirs_exist_ok=True)
    click.echo(f"Two hospitals that do not exist, with films of nobody, are made in {out}.")
    splits = {"train": scale.large, "val": scale.large // 8}
    write_hospital(out / "large", plan_films(LARGE, splits, seed=1), reporter)
    write_hospital(out / "clinic", plan_films(CLINIC, {"train": scale.clinic, "val": scale.measured}, seed=2), reporter)
    archive = plan_films(CLINIC, {ARCHIVE.name: scale.archive}, seed=3)
    if not (out / ARCHIVE / STRAY_FOLDER).is_dir():
        write_films(out / "clinic", archive, reporter)
        write_stray(out / ARCHIVE / STRAY_FOLDER, out / "clinic" / archive[0].file)
    adapt = ["export", "adapt", str(out / "recipes" / "phantom-hospital"), "--data", str(out / "large")]
    _command([*adapt, "--base", "random", "--architecture", ARCHITECTURE, "--run", str(out / "base")])


def _pack(command: Sequence[str]) -> None:
    """Pack; where it is refused because some group is served worse, say why and accept it for the demo alone."""
    try:
        _command(command)
    except GateError as error:
        click.echo(f"aidpost: {error}\n  hint: {error.hint}")
        _command([*command, "--accept", ACCEPTED])


def _is_packed(run: Path, bundle: Path) -> bool:
    """Whether the bundle was packed after the network was trained: packing again would only count it as another one."""
    return bundle.is_file() and bundle.stat().st_mtime_ns > (run / "logits.npy").stat().st_mtime_ns


def _list_stored(own: Own, out: Path) -> Path:
    """List some of one's own validation scans, spread over the index, as the stored scans to be screened."""
    index = read_index(own.data, load_recipe(own.recipe).recipe)
    marked = [row for row in index.rows if row.get("split") == "val"] or list(index.rows)
    paths = [str((own.data / row.file).resolve()) for row in marked[:: -(-len(marked) // STORED)]]
    write_durably(out / "stored.txt", ("\n".join(paths) + "\n").encode())
    return out / "stored.txt"


def _command(arguments: Sequence[str]) -> None:
    """Show a command and run it in this process, as the command line would."""
    click.echo(f"\n$ aidpost {shlex.join(arguments)}")
    aidpost.main(list(arguments), prog_name="aidpost", standalone_mode=False)


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Let the device's commands work in the demo's own home folder."""
    before = os.environ.get("AIDPOST_HOME")
    os.environ["AIDPOST_HOME"] = str(folder)
    click.echo(f"\n$ export AIDPOST_HOME={shlex.quote(str(folder))}")
    try:
        yield
    finally:
        if before is None:
            del os.environ["AIDPOST_HOME"]
        else:
            os.environ["AIDPOST_HOME"] = before
