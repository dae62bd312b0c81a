"""Fixtures for the documents' tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .story import Story
from .world import build_world


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The guides' story, in a small world of its own."""
    return Story(build_world(tmp_path_factory.mktemp("guides") / "aidpost"))


@pytest.fixture(scope="session")
def rewriting() -> bool:
    """Whether the documents are to be given what the commands print (`make docs`)."""
    return bool(os.environ.get("AIDPOST_REWRITE_DOCS"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[2]
