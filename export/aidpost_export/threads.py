"""How many threads training gets."""

from __future__ import annotations

import os


def choose_threads() -> int:
    """Free cores by the load of the last minute, at least one.

    On a shared machine torch with more threads than free cores is several times slower than with one: its threads
    wait for each other.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, round(cores - os.getloadavg()[0])))
