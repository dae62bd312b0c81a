"""Paths as text. A path is bytes and need not be UTF-8; here is the one way in which it is written down."""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def path_text(path: bytes) -> str:
    r"""Write a path so that it reads as it is and can be turned back.

    A backslash becomes `\\`. A byte that is not UTF-8 becomes `\xNN`, and so does every byte of a control character, a
    line end, or a mark that turns the writing round.
    Paths are absolute, so no cell of a table begins with a character that a spreadsheet takes for a formula.
    """
    return _ESCAPED.sub(_escape, path.decode("utf-8", "surrogateescape"))


def _escape(match: re.Match[str]) -> str:
    if match[0] == "\\":
        return "\\\\"
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))
