"""What several benchmarks need: a folder for what they make, the commands as a user gives them, and tables."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WORKSHOP = Path(__file__).parents[2] / "build" / "bench"
"""Where benchmarks keep what they make; `make clean` removes it."""


def data_folder() -> Path:
    """The folder with real data. Exits with a sentence where there is none."""
    folder = Path(os.environ.get("AIDPOST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"This benchmark needs real data in {folder}; set AIDPOST_DATA to the folder that has it.")
    return folder


def aidpost(*arguments: str | Path, home: Path | None = None) -> str:
    """Run one command of ours and give its standard output; exits with its error."""
    environment = dict(os.environ)
    if home is not None:
        environment["AIDPOST_HOME"] = str(home)
    command = [str(Path(sys.executable).parent / "aidpost"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}.")
    return done.stdout


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    lines = [list(header), ["---"] * len(header), *[[str(cell) for cell in row] for row in rows]]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines), flush=True)


def machine() -> str:
    """One line on the machine: processor, cores, load."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"


def adapted(name: str, recipe: str, data: Path, base: Path | str, *options: str | Path, control: bool = False) -> Path:
    """A finished and evaluated run, made once and kept."""
    run = WORKSHOP / "runs" / name
    if not (run / "evaluation.json").is_file():
        extra = ("--control",) if control else ()
        aidpost("export", "adapt", recipe, "--data", data, "--base", base, "--run", run, "--skip-bad", *options, *extra)
        aidpost("export", "evaluate", run)
    return run


def packed(run: Path) -> Path:
    """The run's signed bundle for this architecture, made once and kept."""
    key = WORKSHOP / "keys" / "bench"
    if not key.is_file():
        key.parent.mkdir(parents=True, exist_ok=True)
        aidpost("export", "keygen", key)
    bundle = WORKSHOP / "bundles" / f"{run.name}.aidpost"
    if not bundle.is_file():
        bundle.parent.mkdir(parents=True, exist_ok=True)
        name = run.name.replace("_", "-")
        accept = ("--accept", "Packed by a benchmark and used for nothing else")
        aidpost("export", "pack", run, "--key", key, "--target", "x86", "--name", name, "--out", bundle, *accept)
    return bundle


def installed(run: Path) -> Path:
    """A home with the run's bundle installed and active."""
    home = WORKSHOP / "homes" / run.name
    if not home.is_dir():
        bundle = packed(run)
        home.mkdir(parents=True)
        aidpost("device", "trust", "add", WORKSHOP / "keys" / "bench.pub", "--yes", home=home)
        aidpost("device", "install", bundle, home=home)
    return home


def film_reader(data: Path) -> Path:
    """A run for the benchmarks that time films: what the model says does not matter there, its size does."""
    base = data / "base" / "mobilenet_v2_1.0_224"
    return adapted("film-reader", "cxr-pneumonia", data / "cxr_nih", base, "--limit", "200")
