"""The gallery: the worst pictures, however many scans go by, in whatever order."""

from __future__ import annotations

from random import Random

import numpy as np

from aidpost_device.report.picture import Picture, take
from aidpost_device.screening.gallery import Gallery

PICTURE = take(np.zeros((8, 8, 1), np.uint8), "opacity", None)


def test_the_worst_are_kept() -> None:
    ranks = {f"{word}-{n}": (word, -n / 1000) for word in range(4) for n in range(1000)}
    order = list(ranks)
    Random(1).shuffle(order)
    gallery = Gallery(capacity=1100)
    for content in order:
        gallery.offer(content, ranks[content], PICTURE)
    kept = {content for content in ranks if gallery.get(content) is not None}
    assert kept == set(sorted(ranks, key=ranks.__getitem__)[:1100])


def test_a_content_is_kept_once() -> None:
    gallery = Gallery(capacity=2)
    other = Picture(PICTURE.pixels, "nodule", None)
    gallery.offer("a", (0, -0.9), PICTURE)
    gallery.offer("a", (0, -0.9), other)
    gallery.offer("b", (3, -0.1), PICTURE)
    assert gallery.get("a") is PICTURE
    assert gallery.get("b") is PICTURE


def test_what_would_not_be_kept_is_not_wanted() -> None:
    gallery = Gallery(capacity=1)
    assert gallery.wants((3, 0.0))
    gallery.offer("a", (1, -0.5), PICTURE)
    assert gallery.wants((0, 0.0))
    assert gallery.wants((1, -0.6))
    assert not gallery.wants((1, -0.5))
    assert not gallery.wants((2, -0.9))
