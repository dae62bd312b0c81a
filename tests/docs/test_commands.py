"""Every command and every option says what it is for, and some guide mentions it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click
import pytest

from aidpost_device.cli.main import aidpost

from .story import DOCUMENTS


@dataclass(frozen=True)
class Known:
    """One command of the tree."""

    name: str
    """As it is typed, `aidpost` included."""
    command: click.Command

    def __str__(self) -> str:
        return self.name

    @property
    def options(self) -> list[click.Option]:
        """Its own options, without `--help`."""
        return [one for one in self.command.params if isinstance(one, click.Option)]


def _walk(name: str, command: click.Command) -> Iterator[Known]:
    yield Known(name, command)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None, f"{name} lists {child} and does not have it"
            yield from _walk(f"{name} {child}", found)


KNOWN = list(_walk("aidpost", aidpost))
TEXTS = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}


@pytest.mark.parametrize("known", KNOWN, ids=str)
def test_a_command_and_its_options_have_help(known: Known) -> None:
    assert known.command.help
    assert known.command.get_short_help_str().endswith(".")
    assert not [option.name for option in known.options if not option.help]


@pytest.mark.parametrize("known", KNOWN, ids=str)
def test_a_guide_mentions_the_command_with_each_option(known: Known) -> None:
    guides = [text for text in TEXTS.values() if re.search(rf"{re.escape(known.name)}\b", text)]
    assert guides, f"no guide mentions {known.name}"
    for option in known.options:
        longest = max(option.opts, key=len)
        assert any(re.search(rf"{re.escape(longest)}\b", text) for text in guides), f"{known.name} {longest}"
