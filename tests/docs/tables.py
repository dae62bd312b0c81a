"""Tables of the guides that say what the program says: written from the code, between two comments.

<!-- table: NAME -->
…
<!-- end of table -->
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from aidpost_device.decision import Word
from aidpost_device.decode.reason import Reason as Unreadable
from aidpost_device.engine import _ASK as _ENGINE
from aidpost_device.reason import RETAKES, Reason
from aidpost_device.screening.reader import ENGINE_FAILED
from aidpost_device.screening.source import _TEXTS as _UNUSABLE

_TABLE = re.compile(r"^<!-- table: (?P<name>\w+) -->\n(?P<rows>.*?)^<!-- end of table -->$", re.MULTILINE | re.DOTALL)
_GIVES = {
    Reason.BLANK: Word.REPEAT,
    Reason.VIEW_NOT_ACCEPTED: Word.REPEAT,
    Reason.AGE_OUTSIDE: Word.UNSURE,
    Reason.BETWEEN_LIMITS: Word.UNSURE,
    Reason.FILM_UNREADABLE: "any but CLEAR",
    **dict.fromkeys(RETAKES, Word.REPEAT),
}
"""Reasons that decide the word; the others stand beside any word, or reject the file."""
_REJECT = (Reason.MODALITY_NOT_ACCEPTED, Reason.FOR_PROCESSING, Reason.UNLIKE_TRAINING)


def tables() -> dict[str, str]:
    """Every table by its name, without the comments around it."""
    return {"reasons": _reasons(), "rejections": _rejections()}


def tables_of(document: Path) -> dict[str, str]:
    """The tables that a document holds."""
    return {match["name"]: match["rows"] for match in _TABLE.finditer(document.read_text(encoding="utf-8"))}


def replace_tables(document: Path) -> None:
    """Write the tables of a document anew."""
    written = tables()

    def anew(match: re.Match[str]) -> str:
        return f"<!-- table: {match['name']} -->\n{written[match['name']]}<!-- end of table -->"

    document.write_text(_TABLE.sub(anew, document.read_text(encoding="utf-8")), encoding="utf-8")


def _reasons() -> str:
    known = [reason for reason in Reason if reason not in _REJECT]
    rows = [(f"`{reason}`", _GIVES.get(reason, "any"), reason.text, reason.hint) for reason in known]
    return _table(("reason", "word", "what the report says", "what you can do"), rows)


def _rejections() -> str:
    rows = [(f"`{code}`", hint) for code, (_, hint) in _UNUSABLE.items()]
    rows += [(f"`{reason}`", reason.hint) for reason in Unreadable if reason not in {str(code) for code in _UNUSABLE}]
    rows += [(f"`{reason}`", reason.hint) for reason in _REJECT]
    rows.append((f"`{ENGINE_FAILED}`", _ENGINE))
    return _table(("reason", "what to do"), rows)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
