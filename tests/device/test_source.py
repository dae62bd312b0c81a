"""The folder source: what is found has a row, whatever it is, and each path once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aidpost_device.errors import SettingError
from aidpost_device.screening.source import list_files, read_list
from aidpost_device.store.records import Rejection


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(root: Path, *more: Path, skip: tuple[Path, ...] = ()) -> list[str]:
    listing = list_files([root, *more], skip=skip)
    return [os.path.relpath(os.fsdecode(stamp.path), root) for stamp in listing.files]


def test_folders_are_walked_in_order_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c", "b.txt", ".hidden", ".git/config", "b/.DS_Store"):
        touch(tmp_path / name)
    assert names(tmp_path) == ["a", "b/1", "b/2", "b.txt", "c"]


def test_a_named_file_is_taken_even_if_hidden(tmp_path: Path) -> None:
    assert names(touch(tmp_path / ".hidden")) == ["."]


def test_each_path_stands_once(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1")
    assert names(tmp_path, tmp_path / "a", tmp_path / "a" / "1", tmp_path / "a" / ".." / "a" / "1") == ["a/1"]


def test_our_own_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "scan")
    touch(tmp_path / "out" / "readings.csv")
    touch(tmp_path / "home" / "store.sqlite3")
    assert names(tmp_path, skip=(tmp_path / "out", tmp_path / "home", tmp_path / "missing")) == ["scan"]
    (tmp_path / "elsewhere").symlink_to(tmp_path / "out")
    assert "out/readings.csv" not in names(tmp_path, skip=(tmp_path / "elsewhere",))


def test_stamps_tell_size_and_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "a", b"12345")
    os.utime(path, ns=(1, 987654321))
    (stamp,) = list_files([tmp_path]).files
    assert (stamp.path, stamp.size_bytes, stamp.mtime_ns) == (os.fsencode(path), 5, 987654321)


def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\n.dcm"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    assert [stamp.path for stamp in list_files([tmp_path]).files] == [odd]


def test_what_is_no_file_has_a_row_that_says_why(tmp_path: Path) -> None:
    touch(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        listing = list_files([tmp_path])
    reasons = {}
    for item in listing.unusable:
        assert isinstance(item.outcome, Rejection)
        assert item.outcome.message
        assert item.outcome.hint
        reasons[Path(os.fsdecode(item.stamp.path)).name] = item.outcome.reason
    assert reasons == {"link": "link", "loop": "link", "pipe": "not-a-file", "socket": "not-a-file"}
    assert len(listing.files) == 1


def test_links_that_are_named_are_followed(tmp_path: Path) -> None:
    real = touch(tmp_path / "data" / "a")
    (tmp_path / "file").symlink_to(real)
    (tmp_path / "folder").symlink_to(tmp_path / "data")
    found = list_files([tmp_path / "file", tmp_path / "folder"]).files
    assert [stamp.path for stamp in found] == [os.fsencode(real), os.fsencode(tmp_path / "folder" / "a")]


def test_a_folder_that_cannot_be_read_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "locked" / "a")
    touch(tmp_path / "open" / "b")
    scandir = os.scandir

    def refusing(path: bytes) -> object:  # root may read everything, so the kernel's refusal is played
        if path.endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_files([tmp_path])
    assert [stamp.path for stamp in listing.files] == [os.fsencode(tmp_path / "open" / "b")]
    (item,) = listing.unusable
    assert isinstance(item.outcome, Rejection)
    assert (item.stamp.path, item.outcome.reason) == (os.fsencode(tmp_path / "locked"), "folder-unreadable")


def test_folders_may_be_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "deep"
    touch(folder / "a")
    assert len(names(tmp_path)) == 1


def test_a_named_path_that_is_missing_stops_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no file or folder"):
        list_files([touch(tmp_path / "a"), tmp_path / "missing"])


def test_our_own_folder_is_not_screened_and_the_message_says_so(tmp_path: Path) -> None:
    touch(tmp_path / "scan")
    with pytest.raises(SettingError, match="is the output folder itself") as caught:
        list_files([tmp_path], skip=(tmp_path,))
    assert "--out" in caught.value.hint


def test_nothing_to_screen_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden")
    with pytest.raises(SettingError, match="nothing to screen"):
        list_files([tmp_path])


def test_a_listed_path_that_is_missing_has_a_row(tmp_path: Path) -> None:
    listing = list_files([], [touch(tmp_path / "a"), tmp_path / "missing"])
    assert [stamp.path for stamp in listing.files] == [os.fsencode(tmp_path / "a")]
    (item,) = listing.unusable
    assert isinstance(item.outcome, Rejection)
    assert item.outcome.reason == "missing"


def test_a_list_is_read_as_find_writes_it(tmp_path: Path) -> None:
    listed = touch(tmp_path / "list.txt", b"/a b\n\n/\xff.dcm\r\nrelative")
    assert [os.fsencode(path) for path in read_list(listed)] == [b"/a b", b"/\xff.dcm", b"relative"]
    with pytest.raises(SettingError, match="cannot be opened"):
        read_list(tmp_path / "missing")


def test_a_list_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    listed = touch(tmp_path / "list.txt", b"\xef\xbb\xbf/a\r\n/b\r\n")
    assert [os.fsencode(path) for path in read_list(listed)] == [b"/a", b"/b"]


def test_a_list_that_separates_by_nul_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="by NUL") as caught:
        read_list(touch(tmp_path / "list.txt", b"/a\0/b\0"))
    assert "find -print" in caught.value.hint


def test_lines_that_are_no_paths_have_rows_and_stop_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "a")
    (tmp_path / "round").symlink_to("round")
    odd = (b"x" * 300, b"a\0b", b"../a\0b", b"../" + b"y" * 300, b"round/../c", b"a/b", b"a/../b", b"\xff")
    listed = [Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) for name in odd]
    listing = list_files([], [*listed, tmp_path / "a"])
    assert [stamp.path for stamp in listing.files] == [os.fsencode(tmp_path / "a")]
    reasons = {item.outcome.reason for item in listing.unusable if isinstance(item.outcome, Rejection)}
    assert reasons == {"missing"}
    assert len(listing) == len(odd) + 1
    with pytest.raises(SettingError, match="no file or folder"):
        list_files([tmp_path / ("x" * 300)])


def test_a_folder_that_may_not_be_entered_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: object, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    listed = tmp_path / "locked" / "a"
    monkeypatch.setattr(os, "stat", refusing)
    (item,) = list_files([], [listed]).unusable
    assert item.stamp.path == os.fsencode(listed)


def test_the_same_request_has_the_same_digest(tmp_path: Path) -> None:
    for name in "ab":
        touch(tmp_path / name)
    one, again, other = (list_files([tmp_path / name]).sha256 for name in "aab")
    assert one == again != other
