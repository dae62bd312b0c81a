"""The pictures of the documents are what their command draws, and load nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from .pictures import PICTURES, pictures


def test_the_pictures_are_up_to_date() -> None:
    """After a change: `make pictures`, and look at them."""
    assert {path.name: path.read_text(encoding="utf-8") for path in PICTURES.iterdir()} == pictures()


@pytest.mark.parametrize("name", ["way.svg", "screening.svg"])
def test_a_picture_is_well_formed_and_loads_nothing(name: str) -> None:
    picture = pictures()[name]
    ET.fromstring(picture)
    addresses = re.findall(r"""(?:href|src)\s*=|url\((?!#)|https?://[^"')\s]+|@import""", picture)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}
