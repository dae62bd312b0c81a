"""Killed at any instant (kill -9), an installation leaves the old bundle active or the new one, never a part."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from .box import Box, copy_box, end, files, new_box, state

pytestmark = pytest.mark.system

SEED = 20260101
"""Of the instants; a failure prints the instant."""
ROUNDS = 24


def test_two_dozen_kills_of_an_upgrade(stick: Path, tmp_path: Path) -> None:
    before = new_box(tmp_path / "before", (stick / "one.aidpost").read_bytes())
    after = copy_box(before, tmp_path / "after")
    command = ("device", "install", str(stick / "two.aidpost"))
    began = time.monotonic()
    assert after.run(*command).returncode == 0
    whole = time.monotonic() - began
    old, new, tidy = state(before), state(after), {frozenset(files(box.home)) for box in (before, after)}
    instants = random.Random(SEED)
    midway = 0
    for number in range(ROUNDS):
        box = copy_box(before, tmp_path / f"home-{number}")
        process = box.start(*command)
        if number % 2:
            instant = instants.uniform(0, whole)
        else:
            wait_for_writing(box, process)
            instant = 10 ** instants.uniform(-4.5, -2)  # the writing itself takes a few milliseconds
        time.sleep(instant)
        end(process)
        print(f"round {number}: killed after {instant:.4f} s; left {sorted(files(box.home))}")
        found = state(box)
        assert found in (old, new)
        midway += frozenset(files(box.home)) not in tidy
        again = box.run(*command)
        assert again.returncode == 0, again.stderr
        assert state(box) == new
        assert files(box.home) == files(after.home), "something was left behind"
    assert midway >= ROUNDS // 12, "too few kills fell into the middle of the work"


def wait_for_writing(box: Box, process: subprocess.Popen[str]) -> None:
    """Wait until the command begins to write the bundle."""
    slot = box.home / "bundles" / "toy"
    before = len(list(slot.iterdir()))
    while process.poll() is None and len(list(slot.iterdir())) == before:
        pass
