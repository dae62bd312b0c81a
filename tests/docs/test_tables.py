"""What the guides say of the program's words, columns and messages is what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aidpost_device.report.csv_table import COLUMNS
from aidpost_device.screening.reader import ENGINE_FAILED

from .story import DOCS, DOCUMENTS, REPOSITORY
from .tables import replace_tables, tables, tables_of

_ROW = re.compile(r"^\| (?P<first>.+?) \|", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')
SHORTEST = 6
"""Letters of a piece of a message that is looked for."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_tables_written_from_the_code_are_up_to_date(document: Path, rewriting: bool) -> None:
    """After a change: `make docs`."""
    if rewriting:
        replace_tables(document)
    for name, rows in tables_of(document).items():
        assert rows == tables()[name]


def test_every_table_stands_in_a_guide() -> None:
    assert {name for document in DOCUMENTS for name in tables_of(document)} == set(tables())
    assert f"`{ENGINE_FAILED}`" in tables()["rejections"]


def test_the_guide_explains_every_column_in_its_order() -> None:
    section = _section(DOCS / "programme-officer.md", "## 4. The table")
    explained = [name for match in _ROW.finditer(section) for name in re.findall(r"`(\w+)`", match["first"])]
    assert tuple(explained) == COLUMNS


@pytest.mark.parametrize(
    ("guide", "heading", "package"),
    [
        ("technician.md", "## 8. When it refuses", "device"),
        ("data-officer.md", "## 10. When it refuses", "export"),
        ("data-officer.md", "## 5. Evaluate, and read the report", "export"),
    ],
)
def test_messages_that_a_guide_quotes_are_the_programs(guide: str, heading: str, package: str) -> None:
    """A message is quoted in pieces between "…", where names and numbers stand."""
    sources = "".join(path.read_text(encoding="utf-8") for path in REPOSITORY.glob(f"{package}/**/*.py"))
    sources += "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "device").glob("**/*.py"))
    source = re.sub(r'"\s*f?"', "", sources)  # texts that go on in the next line
    quoted = [piece for match in _ROW.finditer(_section(DOCS / guide, heading)) for piece in _pieces(match["first"])]
    assert quoted
    assert not [piece for piece in quoted if piece not in source]


def _section(document: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its rank."""
    _, found, below = document.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    assert found, heading
    return below.partition("\n## ")[0]


def _pieces(cell: str) -> list[str]:
    parts = (part.strip() for quoted in _QUOTED.findall(cell) for part in quoted.split("…"))
    return [part for part in parts if len(part) >= SHORTEST]
