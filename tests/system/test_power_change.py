"""The power fails while a box's keys or bundles change: afterwards it has the old ones or the new ones, whole.

The cuts fall before every single call that changes the disk, and at random moments.
"""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from .box import Box, copy_box, end, files, new_box, state
from .disk import Disk
from .fuse import PROGRAM as FUSE

pytestmark = pytest.mark.system

SEED = 20260101
"""Of the moments; a failure prints the moment."""


@dataclass(frozen=True)
class Change:
    """A command that changes what a box would use."""

    command: tuple[str, ...]
    """Its last word may name a file on the stick."""
    says: str
    """What it says when the change is made, and not before."""
    steps: int
    """Calls that change the disk, at least."""
    installed: tuple[str, ...] = ()
    """Bundles that are there before."""
    trusts: bool = True
    """Whether the box has a root key before."""

    def arguments(self, stick: Path) -> list[str]:
        """The command as it is typed."""
        *words, last = self.command
        return [*words, str(stick / last) if (stick / last).exists() else last]

    def box(self, home: Path, stick: Path) -> Box:
        """A box as it is before."""
        if self.trusts:
            return new_box(home, *((stick / name).read_bytes() for name in self.installed))
        home.mkdir(mode=0o700)
        return Box(home)


CHANGES = {
    "the first bundle": Change(("device", "install", "one.aidpost"), "is installed and active", steps=12),
    "an upgrade": Change(
        ("device", "install", "two.aidpost"), "is installed and active", steps=10, installed=("one.aidpost",)
    ),
    "a rollback": Change(
        ("device", "rollback", "toy"), "is active again", steps=4, installed=("one.aidpost", "two.aidpost")
    ),
    "the first key": Change(("device", "trust", "add", "--yes", "root.pub"), "is now the root", steps=4, trusts=False),
    "a trust file": Change(("device", "trust", "update", "trust"), "is now at version 1", steps=4),
}


class Trials:
    """Cuts one change on one disk, again and again, each time on a box of its own."""

    def __init__(self, change: Change, disk: Disk, stick: Path, tmp_path: Path) -> None:
        self._disk, self._steps = disk, tmp_path / "steps"
        self.command, self._says = change.arguments(stick), change.says
        self._before = change.box(tmp_path / "before", stick)
        self._after = copy_box(self._before, tmp_path / "after")
        assert change.says in self._after.run(*self.command).stdout
        self._undoes = "rollback" in change.command
        self._count = 0

    def new_box(self) -> Box:
        """A box on the disk, as it is before the change."""
        self._count += 1
        return copy_box(self._before, self._disk.folder / f"home-{self._count}")

    def cut_before(self, step: int) -> str:
        """Run the command with a cut before a step; gives the step's name, or nothing when there is no such step."""
        box = self.new_box()
        self._steps.unlink(missing_ok=True)
        done = box.run(self._disk.folder, self._steps, str(step), *self.command, program=FUSE)
        steps = self._steps.read_text().splitlines()
        print(f"step {step} of {box.home.name}: {steps[-1]}: {done.returncode} {done.stdout}{done.stderr}")
        if len(steps) < step:
            self._disk.cut()  # at once after the command has said that it is done
        self._disk.restore()
        self.check(box, done)
        return steps[step - 1] if len(steps) >= step else ""

    def check(self, box: Box, done: subprocess.CompletedProcess[str]) -> None:
        """See that the box has the old or the new state; a command that said so, the new; and finish the change."""
        found, old, new = (state(one) for one in (box, self._before, self._after))
        assert found in (old, new)
        if done.returncode == 0 or self._says in done.stdout:
            assert found == new
        again = box.run(*self.command)
        assert again.returncode == 0, again.stderr
        expected = self._before if self._undoes and found == new else self._after
        assert state(box) == state(expected)
        assert files(box.home) == files(expected.home), "something was left behind"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_cut_before_any_step_leaves_the_old_or_the_new(
    change: Change, disk: Disk, stick: Path, tmp_path: Path
) -> None:
    trials = Trials(change, disk, stick, tmp_path)
    names: list[str] = []
    while name := trials.cut_before(len(names) + 1):
        names.append(name)
    assert len(names) >= change.steps, "the fuse no longer sees what the command does"


def test_a_cut_at_any_moment_of_an_upgrade_leaves_the_old_or_the_new(disk: Disk, stick: Path, tmp_path: Path) -> None:
    trials = Trials(CHANGES["an upgrade"], disk, stick, tmp_path)
    began = time.monotonic()
    assert trials.new_box().run(*trials.command).returncode == 0
    whole = time.monotonic() - began
    moments = random.Random(SEED)
    midway = late = 0
    while midway < 6:
        moment = moments.uniform(0.2 * whole, whole)
        box = trials.new_box()
        process = box.start(*trials.command)
        time.sleep(moment)
        running = process.poll() is None
        disk.cut()
        end(process)
        assert process.stdout is not None
        done = subprocess.CompletedProcess([], process.returncode, process.stdout.read(), "")
        print(f"cut after {moment:.3f} s of {whole:.3f} s, running: {running}: {done}")
        disk.restore()
        trials.check(box, done)
        midway, late = midway + running, late + (not running)
        assert late < 12, "most cuts came after the command had ended"
