"""One set of members has exactly one file, which ordinary zip programs can read."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.bundle import container
from aidpost_device.bundle.container import read_container, write_container
from aidpost_device.errors import ContainerError

MEMBERS = {
    "signature": b"s" * 96,
    "model.onnx": b"weights",
    "manifest.json": b"{}",
    "golden/a.png": b"\x89PNG",
    "z": b"",
}
CANONICAL = ["manifest.json", "golden/a.png", "model.onnx", "z", "signature"]


def zip_of(entries: list[tuple[str, bytes]], **changes: object) -> bytes:
    """Write a zip with Python's own writer, made to look like ours except for the changes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in entries:
            info = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
            info.filename = name
            info.create_system = 0
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            file.writestr(info, content)
            # The writer has put a default here; the directory is written on closing and takes what stands then.
            info.external_attr = int(str(changes.get("external_attr", 0)))
    return stream.getvalue()


def test_what_is_written_is_read() -> None:
    assert read_container(write_container(MEMBERS)) == MEMBERS


def test_order_is_manifest_then_sorted_then_signature() -> None:
    assert list(read_container(write_container(MEMBERS))) == CANONICAL


def test_the_order_given_does_not_matter() -> None:
    assert write_container(dict(reversed(MEMBERS.items()))) == write_container(MEMBERS)


def test_python_reads_it() -> None:
    with zipfile.ZipFile(io.BytesIO(write_container(MEMBERS))) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == MEMBERS
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "a.aidpost"
    path.write_bytes(write_container(MEMBERS))
    assert subprocess.run(["unzip", "-tqq", str(path)], check=False).returncode == 0


def test_pythons_zip_writer_gives_the_same_bytes() -> None:
    assert zip_of([(name, MEMBERS[name]) for name in CANONICAL]) == write_container(MEMBERS)


UNSAFE = [
    "../evil",
    "golden/../../evil",
    "..",
    "/etc/passwd",
    "golden//a",
    "golden/",
    "./a",
    "golden\\a",
    "C:/a",
    ".hidden",
    "golden/.hidden",
    "a\x00b",
    "a b",
    "modèle",
    "a\n",
    "",
    "a" * 201,
]


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_not_written(name: str) -> None:
    with pytest.raises(ContainerError, match="unsafe"):
        write_container({**MEMBERS, name: b""})


@pytest.mark.parametrize("name", [name for name in UNSAFE if "\x00" not in name])
def test_unsafe_names_are_not_read(name: str) -> None:
    entries = [("manifest.json", b"{}"), (name, b"x"), ("signature", b"")]
    with pytest.raises(ContainerError, match="unsafe"):
        read_container(zip_of(entries))


def test_a_name_with_a_zero_byte_is_not_read() -> None:
    data = write_container({**MEMBERS, "aXb": b""})
    with pytest.raises(ContainerError, match="unsafe"):
        read_container(data.replace(b"aXb", b"a\x00b"))


def in_order(names: list[str]) -> list[tuple[str, bytes]]:
    """The members in this order."""
    return [(name, MEMBERS[name]) for name in names]


GOOD = write_container(MEMBERS)
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a bundle"),
    "a text": (lambda: b"hello, world\n" * 20, "not a bundle"),
    "an empty zip": (lambda: zip_of([]), "not a bundle"),
    "cut in a header": (lambda: GOOD[:20], "cut off"),
    "cut in a content": (lambda: GOOD[:44], "declares"),
    "cut in the directory": (lambda: GOOD[:-40], "canonical"),
    "cut by one byte": (lambda: GOOD[:-1], "canonical"),
    "bytes before": (lambda: b"\0" + GOOD, "not a bundle"),
    "bytes behind": (lambda: GOOD + b"\0", "canonical"),
    "twice": (lambda: GOOD + GOOD, "canonical"),
    "a comment": (lambda: GOOD[:-2] + b"\x05\x00hello", "canonical"),
    "no manifest": (lambda: zip_of(in_order(["model.onnx", "signature"])), "no manifest.json"),
    "another order": (lambda: zip_of(in_order(list(reversed(CANONICAL)))), "canonical"),
    "another date": (lambda: zip_of(in_order(CANONICAL), date_time=(2026, 1, 1, 0, 0, 0)), "canonical"),
    "file modes": (lambda: zip_of(in_order(CANONICAL), external_attr=0o644 << 16), "canonical"),
    "a member's comment": (lambda: zip_of(in_order(CANONICAL), comment=b"hi"), "canonical"),
    "an extra field": (lambda: zip_of(in_order(CANONICAL), extra=b"\xfe\xca\x00\x00"), "canonical|unsafe|declares"),
    "compressed": (lambda: zip_of(in_order(CANONICAL), compress_type=zipfile.ZIP_DEFLATED), "canonical"),
    "a name twice": (lambda: zip_of([*in_order(CANONICAL[:3]), ("model.onnx", b"other")]), "twice"),
    "a huge declared size": (
        lambda: GOOD[:18] + (2**31).to_bytes(4, "little") * 2 + GOOD[26:],
        "declares 2147483648 bytes",
    ),
    "a wrong checksum": (lambda: GOOD[:14] + b"\0\0\0\0" + GOOD[18:], "canonical"),
    "257 members": (
        lambda: zip_of([("manifest.json", b"{}"), *((f"m{number}", b"") for number in range(256))]),
        "more than 256",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    change, message = REFUSED[what]
    with pytest.raises(ContainerError, match=message) as caught:
        read_container(change())
    assert caught.value.hint


def test_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "FILE_LIMIT", len(GOOD) - 1)
    with pytest.raises(ContainerError, match="at most"):
        read_container(GOOD)
    with pytest.raises(ContainerError, match="more than"):
        write_container(MEMBERS)


def test_too_many_members_are_not_written() -> None:
    with pytest.raises(ContainerError, match="257 members"):
        write_container({f"m{number}": b"" for number in range(257)})


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}(/[a-z0-9][a-z0-9._-]{0,8}){0,2}", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=64), max_size=8))
def test_any_members_come_back(members: dict[str, bytes]) -> None:
    members = {**members, "manifest.json": b"{}"}
    assert read_container(write_container(members)) == members


@given(st.binary(max_size=400) | st.binary(max_size=100).map(lambda tail: b"PK\x03\x04" + tail))
def test_any_bytes_are_refused_with_our_own_error(data: bytes) -> None:
    with pytest.raises(ContainerError):
        read_container(data)
