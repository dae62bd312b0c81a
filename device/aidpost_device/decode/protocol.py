"""What passes between the pool and its workers: length-marked msgpack, never pickle.

A worker that a hostile file has taken over can send anything; the pool parses it into these types and nothing else.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.section import Sha256
from aidpost_device.decode.image import Header
from aidpost_device.decode.limits import Limits

_LENGTH = struct.Struct("<I")
_READ = 2**20
"""Bytes asked for at a time."""
LARGEST = 2**63 - 1
"""What the store can hold."""
Milliseconds = Annotated[float, Meta(ge=0, lt=1e12)]


class Settings(msgspec.Struct, frozen=True):
    """What a worker is told when it is born."""

    spec: ImageInput
    limits: Limits
    task: str
    """`module:function` that turns a name and bytes into pixels."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One file for a worker."""

    name: str
    """How messages call the file."""
    path: bytes | None
    """Where to read it; None when `content` is given."""
    content: bytes = b""
    hash_only: bool = False
    """Only read, hash and read its header: it has broken a worker before."""
    known: str | None = None
    """Digest of a content that need not be decoded again, where the file is expected to hold it."""


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a file without decoding it."""

    sha256: Sha256 | None = None
    size_bytes: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    mtime_ns: Annotated[int, Meta(ge=-LARGEST - 1, le=LARGEST)] = 0


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker has set its limits and takes jobs."""

    landlock: int
    """Version of Landlock that confines it, 0 for none."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A file was prepared."""

    facts: Facts
    pixels: bytes
    header: Header
    decoder: str
    milliseconds: Milliseconds


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A file was refused, or not decoded at all."""

    facts: Facts
    reason: str
    message: str
    hint: str
    header: Header | None
    milliseconds: Milliseconds


class Same(msgspec.Struct, frozen=True, tag="same"):
    """A file holds the content that its job names as known; it was not decoded."""

    facts: Facts
    milliseconds: float


Reply = Ready | Done | Refused | Same
_reply = msgspec.msgpack.Decoder(Reply)
_job = msgspec.msgpack.Decoder(Job)


class Inbox:
    """Collects whole messages from a pipe, however they arrive."""

    def __init__(self, handle: int, largest: int) -> None:
        self.handle = handle
        self._largest = largest
        self._pending = bytearray()

    def receive(self) -> Iterator[bytes]:
        """Read what is there and yield the messages now complete.

        Raises `EOFError` when the other end is gone, `ValueError` when a message is longer than any may be.
        """
        try:
            chunk = os.read(self.handle, _READ)
        except BlockingIOError:
            return
        if not chunk:
            raise EOFError
        self._pending += chunk
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > self._largest:
                raise ValueError(f"a message of {length} bytes; the longest is {self._largest}")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            message = bytes(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            yield message


def send(handle: int, message: msgspec.Struct) -> None:
    """Write one message whole. Raises `BrokenPipeError` when the other end is gone."""
    body = msgspec.msgpack.encode(message)
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(handle, view) :]


def parse_reply(message: bytes) -> Reply:
    """Parse a worker's message. Raises `msgspec.DecodeError`."""
    reply: Reply = _reply.decode(message)
    return reply


def parse_job(message: bytes) -> Job:
    """Parse the pool's message."""
    return _job.decode(message)
