"""The matcher of the guides: what may differ, and that nothing else may."""

from __future__ import annotations

from pathlib import Path

import pytest

from .console import read_steps, replace_outputs
from .matching import matches, refreshed

SAME = [
    ("12 files in 0.8 s, 15.0 a second", "9 files in 11.2 s, 0.8 a second"),
    ("AUROC above 0.999, below 0.1%", "AUROC 0.87, 12%"),
    ("Fingerprint: 7K4Q-MX2D-0A3F-Z9ZZ-Q2W3", "Fingerprint: 0000-1111-2222-3333-4444"),
    ("study S-7K4Q-MX2D-0A3F-Z9ZZ", "study S-0K4Q-MX2D-0A3F-Z9Z1"),
    ("sha256 " + "0a" * 32, "sha256 " + "b1" * 32),
    ("with variant int8-u8s8.", "with variant float32."),
    ("one line\nof words", "one\nline of words"),
    ("made 2025-01-31", "made 2026-12-01"),
    ("first\n…\nlast", "first\nmore of it\nlast"),
    ("first\n…", "first"),
    ("…\nmiddle\n…\nlast", "x\nmiddle\ny\nlast"),
]
DIFFERENT = [
    ("3 REFER", "3 CLEAR"),
    ("x86", "pi4"),
    ("It reads on.", "It stops."),
    ("two words", "two words more"),
    ("first\n…\nlast", "first\nlast\nafter"),
    ("first\n…\nlast", "before\nfirst\nlast"),
    ("a\n…\nb\n…\nc", "a\nx\nc"),
    ("one …", "one two"),
    ("", "anything"),
]


@pytest.mark.parametrize(("shown", "printed"), SAME)
def test_what_differs_between_machines_matches(shown: str, printed: str) -> None:
    assert matches(shown.splitlines(), printed.splitlines())


@pytest.mark.parametrize(("shown", "printed"), DIFFERENT)
def test_any_other_difference_is_found(shown: str, printed: str) -> None:
    assert not matches(shown.splitlines(), printed.splitlines())


def test_a_shortened_text_gets_the_new_figures() -> None:
    shown = ["1 file", "…", "in 2 s", "bye"]
    printed = ["3 file", "and more", "in 4 s", "bye"]
    assert refreshed(shown, printed) == ["3 file", "…", "in 4 s", "bye"]
    assert refreshed(["1 file", "…"], printed) == ["3 file", "…"]


GUIDE = """# Guide
<!-- replay: touch it -->
```sh
$ not a console
```

<!-- varies: the weather -->
```console
$ first \\
>   --more
out
put
$ second
```
"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A small guide."""
    path = tmp_path / "guide.md"
    path.write_text(GUIDE)
    return path


def test_steps_are_read_in_order(guide: Path) -> None:
    steps = [(step.command, step.output) for step in read_steps(guide)]
    assert steps == [("touch it", ()), ("first \\\n  --more", ("out", "put")), ("second", ())]
    assert [(step.hidden, step.varies) for step in read_steps(guide)] == [(True, False), (False, True), (False, False)]


def test_outputs_are_replaced_where_they_stand(guide: Path) -> None:
    _, first, second = read_steps(guide)
    replace_outputs(guide, {first.line: ("new",), second.line: ("one", "two")})
    expected = GUIDE.replace("out\nput", "new").replace("$ second", "$ second\none\ntwo")
    assert guide.read_text() == expected


@pytest.mark.parametrize("text", ["```console\n$ a\n", "```console\noutput\n```\n", "```console\n$ a \\\nb\n```\n"])
def test_a_block_that_cannot_be_typed_is_refused(guide: Path, text: str) -> None:
    guide.write_text(text)
    with pytest.raises(ValueError, match="guide"):
        read_steps(guide)
