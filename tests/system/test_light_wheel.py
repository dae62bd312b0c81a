"""The box's wheel is light: with its base requirements alone, in an environment of its own, a box does all its work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..device import scans
from .box import Box, tables

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
HEAVY = {"datasets", "matplotlib", "onnx", "onnxscript", "optimum", "pandas", "pydantic", "pyserial"} | {
    *("scikit-learn", "scipy", "textual", "torch", "transformers"),
}
"""What belongs to the workstation, the clinic's screen or the technician's laptop."""
MEGABYTES = 450
"""What the environment may weigh; ONNX Runtime, NumPy and the codecs are most of it."""


def pip(python: str | Path, *arguments: str | Path) -> str:
    """Run pip; skips where no package index can be reached."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and "NewConnectionError" in done.stderr + done.stdout:
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel and what it requires; gives the folder of its programs."""
    folder = tmp_path_factory.mktemp("light")
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip(sys.executable, "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("aidpost-*.whl")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip(programs / "python", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    yield programs
    shutil.rmtree(folder)


@pytest.fixture
def aidpost(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Box]:
    """The installed command and a new box, away from the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return installed / "aidpost", Box(tmp_path / "home")


def test_nothing_heavy_is_required(installed: Path) -> None:
    names = {line.split("==")[0].lower() for line in pip(installed / "python", "list", "--format", "freeze").split()}
    assert "onnxruntime" in names
    assert names & HEAVY == set()
    pip(installed / "python", "check")
    size = sum(path.lstat().st_size for path in (installed.parent / "lib").rglob("*"))
    assert size < MEGABYTES * 2**20, f"the environment weighs {size >> 20} MiB"


def test_only_what_is_installed_is_shown(aidpost: tuple[Path, Box]) -> None:
    program, box = aidpost
    shown = box.run("--help", program=(program,))
    assert shown.returncode == 0, shown.stderr
    listed = shown.stdout.partition("Commands:")[2].splitlines()
    # A name stands two columns in, a sentence that goes on further.
    assert re.findall(r"^  (\S+)", "\n".join(listed), re.MULTILINE) == ["device"], shown.stdout


def test_a_group_that_is_not_installed_says_how_to_get_it(aidpost: tuple[Path, Box]) -> None:
    program, box = aidpost
    refused = box.run("export", "adapt", program=(program,))
    assert refused.returncode == 1
    assert 'pip install "aidpost[export]"' in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_box_installs_a_bundle_and_screens(aidpost: tuple[Path, Box], stick: Path, tmp_path: Path) -> None:
    program, box = aidpost
    for seed in range(4):
        scans.png(tmp_path / "scans" / f"{seed}.png", seed)
        scans.dicom(tmp_path / "scans" / f"{seed}.dcm", seed)
    for step in (
        ("trust", "add", "--yes", stick / "root.pub"),
        ("install", stick / "one.aidpost"),
        ("screen", tmp_path / "scans", "--out", tmp_path / "out"),
    ):
        done = box.run("device", *step, program=(program,))
        assert done.returncode == 0, done.stderr
    decisions = [row["decision"] for row in tables(tmp_path / "out")[0]]
    assert len(decisions) == 8
    assert set(decisions) <= {"REFER", "CLEAR"}
