"""Fixtures for the slow tests: disks that can be cut or filled, peers, and what every box here screens with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aidpost_device.bundle import signature
from aidpost_device.bundle.trust import Statement, sign_update

from ..device import bundles, scans
from .disk import Disk

LARGE, SMALL = 3072, 32
"""Sizes of disks, MiB. A disk that is cut must never be full: the writer would wait instead of work."""


@pytest.fixture(autouse=True)
def _no_target_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIDPOST_TARGET", raising=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk whose power can be cut."""
    with Disk(tmp_path, LARGE) as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is soon full."""
    with Disk(tmp_path, SMALL) as made:
        yield made


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is carried to a box: two builds of a bundle, the root's public key, and a trust file that adds a key."""
    folder = tmp_path_factory.mktemp("stick")
    draft = scans.splitting(bundles.draft())
    (folder / "one.aidpost").write_bytes(draft.pack())
    (folder / "two.aidpost").write_bytes(draft.having(build=2, version="2.0.0").pack())
    root = bundles.key(bundles.ROOT)
    (folder / "root.pub").write_text(signature.format_public(root.public))
    statement = Statement(version=1, root=root, keys=(bundles.key(bundles.STRANGER),))
    (folder / "trust").write_bytes(sign_update(statement, bundles.ROOT))
    return folder
