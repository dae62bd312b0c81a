"""Fixtures for the box's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from aidpost_device.bundle import install as installation
from aidpost_device.bundle import trust_file
from aidpost_device.bundle.install import Installed, install
from aidpost_device.home import Home

from . import bundles

TODAY = date(2026, 1, 1)


@pytest.fixture(scope="session")
def draft() -> bundles.Draft:
    """An open bundle, name toy, build 1."""
    return bundles.draft()


@pytest.fixture(scope="session")
def packed(draft: bundles.Draft) -> bytes:
    """The same, signed and packed."""
    return draft.pack()


@pytest.fixture
def trusting(home: Home) -> Home:
    """A home that trusts the test bundles' key."""
    trust_file.change(home, lambda _: bundles.TRUST)
    return home


@pytest.fixture
def install_here(trusting: Home) -> Callable[..., Installed]:
    """Install a bundle into this test's home."""

    def run(data: bytes, now: date | None = TODAY) -> Installed:
        return install(trusting, data, now, prepare=bundles.prepare, target="x86")

    return run


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes | None]]:
    """Everything in a folder: path → content (None for folders), the lock file apart."""

    def look(folder: Path) -> dict[str, bytes | None]:
        paths = [path for path in sorted(folder.rglob("*")) if path.name != ".lock"]
        return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}

    return look


@pytest.fixture(autouse=True, scope="session")
def _no_stopwatch() -> Iterator[None]:
    """Toy graphs take microseconds: which one is faster is chance, so the first that works is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installation, "fastest", lambda engines: engines[0])
        yield


@pytest.fixture(autouse=True)
def _no_target_override(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AIDPOST_TARGET", raising=False)
    yield
