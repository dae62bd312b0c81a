"""What a training runs on: chosen once, and kept when the run is taken up again, so that it repeats to the last bit."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from aidpost_export.errors import RunError
from aidpost_export.run import RunFolder


@dataclass(frozen=True)
class Compute:
    """What the training runs on."""

    device: str
    """`cpu` or `cuda`."""
    threads: int
    """Threads of torch and ONNX Runtime; part of what makes a run repeat exactly."""


def settle_compute(folder: RunFolder, device: str, threads: int | None) -> Compute:
    """What the run in this folder was begun with, else what is wished for and free (`auto`, None).

    Raises `RunError` when an explicit wish is another than the run was begun with, or the device is not there.
    """
    record = folder.record() if (folder.path / "run.json").is_file() else None
    begun_on, begun_with = (record.device, record.threads) if record else (None, None)
    wishes = {"--device": (None if device == "auto" else device, begun_on), "--threads": (threads, begun_with)}
    for option, (wish, begun) in wishes.items():
        if wish is not None and begun is not None and wish != begun:
            raise RunError(
                f"The run in {folder.path} was begun with {option} {begun}, and {option} {wish} gives another network.",
                f"Leave {option} out to go on with {begun}, or name a new folder with --run.",
            )
    if begun_on == "cuda" and not torch.cuda.is_available():
        raise RunError(
            f"The run in {folder.path} was begun on a CUDA device, and torch finds none here.",
            "Go on where it was begun, or name a new folder with --run.",
        )
    return Compute(begun_on or choose_device(device), begun_with or threads or choose_threads())


def choose_device(wish: str) -> str:
    """Resolve `auto` to `cuda` where there is one, else `cpu`. Raises `RunError` for a GPU that is not there."""
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise RunError("This machine has no CUDA device that torch can use.", "Leave --device at auto, or say cpu.")
    return wish


def choose_threads() -> int:
    """Free cores by the load of the last minute, at least one.

    On a shared machine torch with more threads than free cores is several times slower than with one: its threads
    wait for each other.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, round(cores - os.getloadavg()[0])))
