"""Links between our own documents lead somewhere, also those to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .story import DOCS, REPOSITORY

PAGES = (*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *REPOSITORY.glob("models/*/CARD.md"))
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_resolve(page: Path) -> None:
    broken = [link for link in _links(page) if not _resolves(page, link)]
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    waiting, reached = [REPOSITORY / "README.md"], set()
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (link.partition("#")[0] for link in _links(page) if _is_relative(link))
        waiting += [(page.parent / target).resolve() for target in targets if target]
    assert reached >= set(DOCS.rglob("*.md"))


def _links(page: Path) -> list[str]:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [match["target"] for match in _LINK.finditer(text)]


def _is_relative(link: str) -> bool:
    return not re.match(r"[a-z]+:", link)


def _resolves(page: Path, link: str) -> bool:
    if not _is_relative(link):
        return True
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if not path.exists() or REPOSITORY not in (path, *path.parents):
        return False
    return not anchor or anchor in _anchors(path)


def _anchors(page: Path) -> set[str]:
    """Names that the headings of a page get: lower case, hyphens for spaces, no other signs."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = [match["text"].strip().lower() for match in _HEADING.finditer(text)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}
