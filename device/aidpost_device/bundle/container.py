"""The container: a zip of stored members in one canonical form.

Order, dates, flags and extra fields are fixed, so a set of members has exactly one file, and a file that differs from
it in any byte is refused. Read by our own code: general zip readers accept files that two of them read differently.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping

from aidpost_device.errors import ContainerError

FILE_LIMIT = 512 * 2**20
"""Largest container, bytes."""
MEMBER_LIMIT = 256
"""Most members of a container, manifest and signature included."""
NAME_LIMIT = 200
"""Longest member name, characters."""

MANIFEST = "manifest.json"
"""Always the first member."""
SIGNATURE = "signature"
"""Always the last member."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION = 20
_MIDNIGHT = 0
_FIRST_DAY = 1 << 5 | 1  # 1 January 1980, the first that a zip can say
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_DAMAGED = "Copy the file again from where it came; if that does not help, ask for it to be packed again."
_UNSAFE = "Do not use this file. Ask the workstation for a bundle packed by `aidpost export pack`."


def write_container(members: Mapping[str, bytes]) -> bytes:
    """Write the members in canonical form. Raises `ContainerError` for what `read_container` would refuse."""
    for name in members:
        _check_name(name)
    if len(members) > MEMBER_LIMIT:
        raise ContainerError(f"{len(members)} members are more than {MEMBER_LIMIT}.", "Pack fewer files.")
    size = _size(members)
    if size > FILE_LIMIT:
        raise ContainerError(f"{size} bytes are more than the {FILE_LIMIT} of a bundle.", "Pack a smaller model.")
    return b"".join(_pieces(members))


def read_container(data: bytes) -> dict[str, bytes]:
    """Read the members of a canonical container. Raises `ContainerError`."""
    if len(data) > FILE_LIMIT:
        raise ContainerError(f"The bundle has {len(data)} bytes; at most {FILE_LIMIT} are allowed.", _UNSAFE)
    members = _read_members(data)
    if MANIFEST not in members:
        raise ContainerError(f"The bundle has no {MANIFEST}.", _UNSAFE)
    if not _is_written_as(data, members):
        raise ContainerError("The bundle is not in canonical form: some of its bytes were changed or added.", _DAMAGED)
    return members


def _read_members(data: bytes) -> dict[str, bytes]:
    """Walk the local headers. Every other byte is checked by writing the result again."""
    members: dict[str, bytes] = {}
    position = 0
    while data[position : position + 4] == b"PK\x03\x04":
        if len(members) == MEMBER_LIMIT:
            raise ContainerError(f"The bundle has more than {MEMBER_LIMIT} members.", _UNSAFE)
        name, start, end = _member_at(data, position)
        if name in members:
            raise ContainerError(f"Member {name!r} stands twice in the bundle.", _UNSAFE)
        members[name] = data[start:end]
        position = end
    if not members:
        raise ContainerError("The file is not a bundle, or its beginning is damaged.", _DAMAGED)
    return members


def _member_at(data: bytes, position: int) -> tuple[str, int, int]:
    """Give the name of the member whose header stands at `position`, and where its content starts and ends."""
    if position + _LOCAL.size > len(data):
        raise ContainerError(f"The bundle is cut off after {len(data)} bytes.", _DAMAGED)
    fields = _LOCAL.unpack_from(data, position)
    size, name_length = fields[8], fields[9]
    name_end = position + _LOCAL.size + name_length
    raw = data[position + _LOCAL.size : name_end]
    name = raw.decode("latin-1")
    if len(raw) == name_length:
        _check_name(name)
    if name_end + size > len(data):
        raise ContainerError(
            f"Member {name[:NAME_LIMIT]!r} declares {size} bytes, but the file ends after {len(data)} bytes.", _DAMAGED
        )
    return name, name_end, name_end + size


def _check_name(name: str) -> None:
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        raise ContainerError(
            f"The member name {name[:NAME_LIMIT]!r} is unsafe: absolute, with '..' or unusual signs.",
            _UNSAFE,
        )


def _is_written_as(data: bytes, members: Mapping[str, bytes]) -> bool:
    """Compare piece by piece: a second copy of the whole file would not fit a small box's memory."""
    if _size(members) != len(data):
        return False
    view = memoryview(data)
    position = 0
    for piece in _pieces(members):
        if view[position : position + len(piece)] != piece:
            return False
        position += len(piece)
    return True


def _size(members: Mapping[str, bytes]) -> int:
    headers = _LOCAL.size + _CENTRAL.size
    return _END.size + sum(headers + 2 * len(name) + len(content) for name, content in members.items())


def _canonical(members: Mapping[str, bytes]) -> list[str]:
    rank = {MANIFEST: 0, SIGNATURE: 2}
    return sorted(members, key=lambda name: (rank.get(name, 1), name))


def _pieces(members: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield the canonical file: local headers with contents, central directory, end record."""
    central: list[bytes] = []
    offset = 0
    for name in _canonical(members):
        content = members[name]
        encoded, size = name.encode("ascii"), len(content)
        # version, flags, method "stored", time, date, checksum, size twice, name's length, extra field's length
        checksum = zlib.crc32(content)
        shared = (_VERSION, 0, 0, _MIDNIGHT, _FIRST_DAY, checksum, size, size, len(encoded), 0)
        yield _LOCAL.pack(b"PK\x03\x04", *shared) + encoded
        yield content
        central.append(_CENTRAL.pack(b"PK\x01\x02", _VERSION, *shared, 0, 0, 0, 0, offset) + encoded)
        offset += _LOCAL.size + len(encoded) + size
    directory = b"".join(central)
    yield directory
    yield _END.pack(b"PK\x05\x06", 0, 0, len(central), len(central), len(directory), offset, 0)
