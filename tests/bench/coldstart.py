"""One scan from a cold start: wall time and memory of the whole process tree; and the time of `--help`.

Time and memory are taken in runs of their own: looking at the memory of a process makes it wait.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from tests.bench.films import write_films
from tests.bench.workshop import WORKSHOP, data_folder, film_reader, installed, machine, table

RUNS = 7
COMMAND = str(Path(sys.executable).parent / "aidpost")


def main() -> None:
    """Print medians of several runs; memory is the sum of proportional set sizes, sampled every 5 ms."""
    data = data_folder()
    home = installed(film_reader(data))
    originals = sorted((data / "cxr_nih" / "originals").glob("*.png"))
    film = write_films(WORKSHOP / "one-film", "uncompressed", originals, 1)[0]
    print(machine() + "\n")
    out = WORKSHOP / "one-out"
    walls, peaks, helps, floors = [], [], [], []
    for _ in range(RUNS):
        _forget(home, out)
        screen = [COMMAND, "device", "screen", str(film), "--out", str(out)]
        walls.append(seconds(screen, home))
        _forget(home, out)
        peaks.append(megabytes(screen, home))
        helps.append(seconds([COMMAND, "--help"], home))
        floors.append(seconds([sys.executable, "-c", "import numpy, onnxruntime"], home))
    table(
        ["what", "median", "range", "aim"],
        [
            ("screen one.dcm, wall", f"{statistics.median(walls):.2f} s", _range(walls), "1.0 s"),
            ("screen one.dcm, memory of the tree", f"{statistics.median(peaks):.0f} MB", _range(peaks), "200 MB"),
            ("aidpost --help, wall", f"{statistics.median(helps):.3f} s", _range(helps), "0.15 s"),
            ("import numpy, onnxruntime, wall", f"{statistics.median(floors):.2f} s", _range(floors), "the floor"),
        ],
    )


def seconds(command: list[str], home: Path) -> float:
    """Wall time of a command."""
    begun = time.perf_counter()
    with _started(command, home) as process:
        process.wait()
    return time.perf_counter() - begun


def megabytes(command: list[str], home: Path) -> float:
    """Peak memory of a command's process tree."""
    with _started(command, home) as process:
        watched, peak = psutil.Process(process.pid), 0.0
        while process.poll() is None:
            peak = max(peak, _tree(watched))
            time.sleep(0.005)
    return peak


@contextmanager
def _started(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "AIDPOST_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        yield process
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {process.returncode}.")


def _forget(home: Path, out: Path) -> None:
    """Remove what an earlier run read, so that the film is read again."""
    shutil.rmtree(out, ignore_errors=True)
    for store in home.glob("*.sqlite*"):
        store.unlink()


def _tree(process: psutil.Process) -> float:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except psutil.Error:
        return 0.0  # a process ended while it was looked at; the next sample counts
    return total / 1e6


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"
