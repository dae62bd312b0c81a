"""No text of the repository names a folder of the machine it was written on, or the host of a package registry."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDERS = ("work", "tmp", "root", r"home/(?!aidpost\b)[a-z]+")
"""At the root of a path. The guides show the folder of a user called aidpost."""
HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("pytorch", "org"),
    ("huggingface", "co"),
    ("anaconda", "org"),
    ("debian", "org"),
    ("ubuntu", "com"),
    ("docker", "io"),
    ("ghcr", "io"),
    ("npmjs", "org"),
    ("jsdelivr", "net"),
    ("cloudflare", "com"),
    ("googleapis", "com"),
)
"""Registries and the like, in parts, so that this file does not name them."""
_FOLDER = re.compile(rf"(?<![\w.~/-])/(?:{'|'.join(FOLDERS)})(?![\w-])")
_TEMPORARY = "/tmp"
"""Tests of hostile programs name it: that is where those try to write."""
_HOST = re.compile("|".join(rf"\b{name}\.{ending}\b" for name, ending in HOSTS))


def test_no_tracked_text_names_this_machine_or_a_registry(repository: Path) -> None:
    named = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:120]}"
        for path in _texts(repository)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _names_something(line, _is_test(path, repository))
    ]
    assert not named


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open('/work/main/x')", True),
        ("see /tmp/plan", True),
        ("cd /home/jane/aidpost", True),
        ("report: /home/aidpost/night/report.html", False),
        ("its share of the work/time", False),
        ("network/working/tmp", False),
        ("from https://files." + ".".join(HOSTS[1]) + "/x", True),
        ("www.dicomstandard.org", False),
    ],
)
def test_what_counts_as_a_name(line: str, found: bool) -> None:
    assert _names_something(line, in_test=False) is found


def _names_something(line: str, in_test: bool) -> bool:
    folders = (match[0] for match in _FOLDER.finditer(line))
    return any(not (in_test and folder == _TEMPORARY) for folder in folders) or bool(_HOST.search(line))


def _is_test(path: Path, repository: Path) -> bool:
    return path.is_relative_to(repository / "tests")


def _texts(repository: Path) -> list[Path]:
    """Every text file that is tracked, or new and not ignored; this file holds examples of what is looked for."""
    git = shutil.which("git")
    if git is None or not (repository / ".git").exists():
        pytest.skip("the list of tracked files comes from git; this is no clone")
    command = [git, "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    paths = [repository / name for name in listed if name]
    return [path for path in paths if path.is_file() and path != Path(__file__) and b"\0" not in path.read_bytes()]
