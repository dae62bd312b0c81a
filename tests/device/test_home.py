"""Where the box keeps its things, and the edges next to it: the calendar and files from a stick."""

from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path

import pytest

from aidpost_device import clock, home
from aidpost_device.errors import SettingError
from aidpost_device.home import Home
from aidpost_device.incoming import read_incoming


class TestLocate:
    @pytest.fixture(autouse=True)
    def no_system_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(home, "SYSTEM", tmp_path / "system")
        monkeypatch.setenv("HOME", str(tmp_path / "user"))

    def test_the_variable_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "system").mkdir()
        assert Home.locate({"AIDPOST_HOME": str(tmp_path / "mine")}).path == tmp_path / "mine"

    def test_then_the_system_folder(self, tmp_path: Path) -> None:
        (tmp_path / "system").mkdir()
        assert Home.locate({}).path == tmp_path / "system"

    def test_then_the_users_data_folder(self, tmp_path: Path) -> None:
        assert Home.locate({"XDG_DATA_HOME": str(tmp_path / "data")}).path == tmp_path / "data" / "aidpost"

    @pytest.mark.parametrize("value", ["", "relative"])
    def test_then_the_default_of_that(self, tmp_path: Path, value: str) -> None:
        assert Home.locate({"XDG_DATA_HOME": value}).path == tmp_path / "user" / ".local" / "share" / "aidpost"

    def test_it_is_created_for_this_user_alone(self, tmp_path: Path) -> None:
        created = Home.locate({"AIDPOST_HOME": str(tmp_path / "a" / "b")}).path
        assert stat.S_IMODE(created.stat().st_mode) == 0o700

    def test_a_file_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SettingError, match="cannot be used") as caught:
            Home.locate({"AIDPOST_HOME": str(tmp_path / "file" / "home")})
        assert "AIDPOST_HOME" in caught.value.hint

    def test_another_users_home_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(SettingError, match="belongs to user") as caught:
            Home.at(tmp_path)
        assert "sudo -u" in caught.value.hint


def test_a_second_change_waits_for_the_first(home: Home) -> None:
    with home.locked(), pytest.raises(SettingError, match="Another command"), home.locked():
        pass
    with home.locked():
        pass


@pytest.mark.parametrize(
    ("shown", "believed"),
    [
        (date(1970, 1, 1), None),
        (date(2024, 12, 31), None),
        (date(2025, 1, 1), date(2025, 1, 1)),
        (date(2031, 5, 6), date(2031, 5, 6)),
    ],
)
def test_a_clock_that_was_never_set_is_not_believed(shown: date, believed: date | None) -> None:
    assert clock.believable(shown) == believed


class TestIncoming:
    def test_a_file_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        assert read_incoming(tmp_path / "a", 5) == b"12345"

    def test_a_larger_one_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"123456")
        with pytest.raises(SettingError, match="6 bytes, more than the 5"):
            read_incoming(tmp_path / "a", 5)

    def test_a_pipe_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SettingError, match="not a file"):
            read_incoming(tmp_path / "pipe", 5)

    def test_folders_and_devices_are_refused(self, tmp_path: Path) -> None:
        for path in (tmp_path, Path("/dev/zero")):
            with pytest.raises(SettingError, match="not a file"):
                read_incoming(path, 5)

    def test_a_name_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match="cannot be opened"):
            read_incoming(tmp_path / "none", 5)
