"""Fixtures for every part's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidpost_device.home import Home

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data; skips where it is absent."""
    folder = Path(os.environ.get("AIDPOST_DATA") or _BESIDE_THE_REPOSITORY)
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data not found at {folder}; set AIDPOST_DATA to their folder")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home folder of this test's own, which commands find through AIDPOST_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("AIDPOST_HOME", str(folder))
    return Home.at(folder)
