"""Whether a command printed what a document shows.

Both texts are compared word by word, so that a line may be wrapped elsewhere. Before that, what differs from one
machine or day to the next is put in one form: numbers (also as "above 0.999"), digests, fingerprints and codes, the
rule of a table, and which accepted variant is the fastest here. A line of the document that is only "…" stands for any
number of words. Everything else has to be the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ELISION = "…"
_CROCKFORD = "[0-9A-HJKMNP-TV-Z]{4}"
_FORMS = (
    (re.compile(r"\b(?:float32|int8-[us]8s8)\b"), "VARIANT"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "DIGEST"),
    (re.compile(rf"\b(?:[SP]-)?{_CROCKFORD}(?:-{_CROCKFORD}){{3,4}}\b"), "CODE"),
    (re.compile(r"(?:\b(?:above|below) |[<>] )?(?<![A-Za-z_])[+\N{MINUS SIGN}-]?\d+(?:[.,]\d+)*"), "NUMBER"),
    (re.compile(r"\N{BOX DRAWINGS LIGHT HORIZONTAL}+"), "RULE"),
)


def words(lines: Sequence[str]) -> list[str]:
    """Put lines in the form in which they are compared."""
    text = "\n".join(lines)
    for pattern, form in _FORMS:
        text = pattern.sub(form, text)
    return text.split()


def matches(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Say whether what was printed is what the document shows."""
    parts: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == ELISION:
            parts.append([])
        else:
            parts[-1].append(line)
    first, *middle = [words(part) for part in parts]
    found = words(printed)
    if not middle:
        return first == found
    last = middle.pop()
    if len(first) + len(last) > len(found) or found[: len(first)] != first or found[len(found) - len(last) :] != last:
        return False
    place, end = len(first), len(found) - len(last)
    for part in middle:
        place = next((at for at in range(place, end - len(part) + 1) if found[at : at + len(part)] == part), -1)
        if place < 0:
            return False
        place += len(part)
    return True


def refreshed(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """Bring the beginning and the end of a shortened text that still matches up to date."""
    places = [place for place, line in enumerate(shown) if line.strip() == ELISION]
    first, last = places[0], len(shown) - 1 - places[-1]
    head, tail = list(printed[:first]), list(printed[len(printed) - last :])
    middle = list(shown[first : places[-1] + 1])
    kept_head, kept_tail = list(shown[:first]), list(shown[places[-1] + 1 :])
    return [
        *(head if words(head) == words(kept_head) else kept_head),
        *middle,
        *(tail if words(tail) == words(kept_tail) else kept_tail),
    ]
