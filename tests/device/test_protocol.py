"""What a worker sends is parsed strictly: one that a hostile file has taken over can spoil its own file and no more."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest

from aidpost_device.decode.image import Header
from aidpost_device.decode.protocol import Facts, Ready, Refused, parse_reply

FACTS = Facts("0" * 64, 1, -1)


def refused(facts: Facts = FACTS, header: Header | None = None, milliseconds: float = 1.0) -> Refused:
    """A reply of a sound worker, but for what is changed."""
    return Refused(facts, "empty", "is empty.", "hint", header, milliseconds)


def test_sound_replies_are_parsed() -> None:
    for reply in (refused(), refused(Facts(), Header(age=40.0, sex="F")), Ready(4)):
        assert parse_reply(msgspec.msgpack.encode(reply)) == reply


@pytest.mark.parametrize(
    "make",
    [
        lambda: refused(Facts("x" * 64)),
        lambda: refused(Facts("0" * 64 + "\n")),
        lambda: refused(Facts("0" * 63)),
        lambda: refused(Facts(size_bytes=-1)),
        lambda: refused(Facts(size_bytes=2**63)),
        lambda: refused(Facts(mtime_ns=2**63)),
        lambda: refused(milliseconds=math.nan),
        lambda: refused(milliseconds=math.inf),
        lambda: refused(milliseconds=-1.0),
        lambda: refused(header=Header(age=math.nan)),
        lambda: refused(header=Header(age=1e300)),
        lambda: refused(header=Header(sex="X")),  # type: ignore[arg-type]
    ],
)
def test_what_no_sound_worker_sends_is_refused(make: Callable[[], Refused]) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_reply(msgspec.msgpack.encode(make()))
