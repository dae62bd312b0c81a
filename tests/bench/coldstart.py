"""One scan from a cold start: wall time and memory of the whole process tree; and the time of `--help`."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
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
    walls, peaks, helps, floors = [], [], [], []
    for _ in range(RUNS):
        out = WORKSHOP / "one-out"
        shutil.rmtree(out, ignore_errors=True)
        for store in home.glob("*.sqlite*"):
            store.unlink()
        wall, peak = measured([COMMAND, "device", "screen", str(film), "--out", str(out)], home)
        walls.append(wall)
        peaks.append(peak)
        helps.append(measured([COMMAND, "--help"], home)[0])
        floors.append(measured([sys.executable, "-c", "import numpy, onnxruntime"], home)[0])
    table(
        ["what", "median", "range", "aim"],
        [
            ("screen one.dcm, wall", f"{statistics.median(walls):.2f} s", _range(walls), "1.0 s"),
            ("screen one.dcm, memory of the tree", f"{statistics.median(peaks):.0f} MB", _range(peaks), "200 MB"),
            ("aidpost --help, wall", f"{statistics.median(helps):.3f} s", _range(helps), "0.15 s"),
            ("import numpy, onnxruntime, wall", f"{statistics.median(floors):.2f} s", _range(floors), "the floor"),
        ],
    )


def measured(command: list[str], home: Path) -> tuple[float, float]:
    """Wall seconds of a command and the peak memory of its process tree, MB."""
    environment = {**os.environ, "AIDPOST_HOME": str(home)}
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    watched, peak = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        peak = max(peak, _tree(watched))
        time.sleep(0.005)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {process.returncode}.")
    return time.perf_counter() - begun, peak


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
