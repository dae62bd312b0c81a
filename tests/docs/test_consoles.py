"""Every command that a guide shows runs, and prints what the guide shows.

Policy: the guides promise words, not figures. `matching.py` says what may differ (numbers, digests, codes, wrapping);
any other word that differs fails. A refusal that a guide shows must end with an exit code other than 0, everything else
with 0. After a change that people see, run `make docs`: it types the commands again and writes what they print into
the guides, also the figures; then read the difference before you commit it. A line "…" in a guide stays where what is
around it still fits. Do not edit outputs by hand. Of a command that is marked with `<!-- varies: WHY -->` the first and
the last line are promised; the mark is for what depends on the processor, and for nothing else.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from .console import read_steps, replace_outputs
from .matching import ELISION, matches, refreshed, words
from .story import DOCS, DOCUMENTS, Played, Story


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_a_guide_shows_what_its_commands_print(document: Path, story: Story, rewriting: bool) -> None:
    played = story.of(document)
    if rewriting:
        replace_outputs(document, {one.step.line: _new_output(one) for one in played if not one.step.hidden})
        return
    assert not [_difference(one) for one in played if not one.step.hidden and not _is_right(one)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_what_a_guide_does_in_silence_succeeds(document: Path, story: Story) -> None:
    assert not [one for one in story.of(document) if one.step.hidden and one.code]


def test_every_guide_is_played() -> None:
    with_consoles = {path for path in (*DOCS.glob("*.md"), DOCUMENTS[-1]) if read_steps(path)}
    assert with_consoles == set(DOCUMENTS)


def test_commands_stand_in_console_blocks_only() -> None:
    """A command in another kind of block would not be typed by any test."""
    for path in DOCUMENTS:
        known = {line for step in read_steps(path) for line in f"$ {step.command}".splitlines()}
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.lstrip().startswith("$ aidpost") and line not in known], path


def _is_right(one: Played) -> bool:
    shown = one.step.output
    if one.step.varies:
        shown = (shown[0], ELISION, shown[-1])
    return matches(shown, one.printed) and (one.code != 0) == one.complained


def _new_output(one: Played) -> tuple[str, ...]:
    """What the document is to show: all that was printed, or as much of it as before where that still fits."""
    shown = one.step.output
    if any(line.strip() == ELISION for line in shown) and matches(shown, one.printed):
        return tuple(refreshed(shown, one.printed))
    return one.printed


def _difference(one: Played) -> str:
    lines = difflib.unified_diff(one.step.output, one.printed, "shown", "printed", lineterm="", n=1)
    shown, printed = words(one.step.output), words(one.printed)
    first = next((pair for pair in zip(shown, printed, strict=False) if pair[0] != pair[1]), "their length")
    return "\n".join((str(one.step), f"exit code {one.code}; first difference: {first}", *lines))
