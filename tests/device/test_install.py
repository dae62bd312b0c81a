"""Installing is atomic, goes back, and survives being killed at any instant."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest

from aidpost_device import durable
from aidpost_device.bundle import install as installation
from aidpost_device.bundle import signature, slots, trust_file
from aidpost_device.bundle.install import Installed, active_bundle, active_variant, entries, install, rollback
from aidpost_device.bundle.slots import Slot, State, activate
from aidpost_device.engine import Engine
from aidpost_device.errors import (
    BundleError,
    NoBundleError,
    RevokedKeyError,
    RollbackError,
    SettingError,
    StorageFullError,
    UntrustedKeyError,
)
from aidpost_device.home import Home

from . import bundles
from .conftest import TODAY
from .test_engine import shifted

Install = Callable[..., Installed]
Snapshot = Callable[[Path], dict[str, bytes | None]]


@pytest.fixture(scope="module")
def builds() -> dict[int, bytes]:
    """Builds 4 to 7 of one bundle."""
    draft = bundles.draft()
    return {build: draft.having(build=build, version=f"0.{build}").pack() for build in (4, 5, 6, 7)}


def slot(build: int, content: str = "a") -> Slot:
    """A slot that only the pure rules see."""
    return Slot(version=f"0.{build}", build=build, sha256=content * 64, variant="float")


class TestState:
    """The rules of activation, apart from any file."""

    def test_the_first(self) -> None:
        assert activate(None, slot(4)) == State(active=slot(4), highest_build=4)

    def test_the_next_keeps_the_one_before(self) -> None:
        state = activate(activate(activate(None, slot(4)), slot(5)), slot(6))
        assert state == State(active=slot(6), previous=slot(5), highest_build=6)

    def test_the_same_again_keeps_what_was_before_it(self) -> None:
        state = activate(activate(None, slot(4)), slot(5))
        assert activate(state, slot(5)) == state

    def test_the_highest_build_never_falls(self) -> None:
        back = State(active=slot(4), previous=slot(6), highest_build=6)
        assert activate(back, slot(6)) == State(active=slot(6), previous=slot(4), highest_build=6)
        assert activate(back, slot(5)).highest_build == 6


class TestInstall:
    def test_a_first_bundle(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        done = install_here(builds[4])
        assert (done.manifest.build, done.variant, done.changed, done.previous) == (4, "int8", True, None)
        assert active_bundle(trusting).manifest.version == "0.4"
        assert active_variant(trusting, "toy") == "int8"

    def test_files_are_for_the_owner_alone(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        install_here(builds[4])
        found = {
            path.name: stat.S_IMODE(path.stat().st_mode) for path in (trusting.bundles, *trusting.bundles.rglob("*"))
        }
        assert found == {"bundles": 0o700, "toy": 0o700, "4-0.4.aidpost": 0o600, "state.json": 0o600}

    def test_the_next_one(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[4])
        previous = install_here(builds[5]).previous
        assert previous is not None
        assert previous.build == 4
        assert active_bundle(trusting, "toy").manifest.build == 5

    def test_only_two_are_kept(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        for build in (4, 5, 6):
            install_here(builds[build])
        kept = {path.name for path in (trusting.bundles / "toy").iterdir()}
        assert kept == {"5-0.5.aidpost", "6-0.6.aidpost", "state.json"}

    def test_the_active_one_again_changes_nothing(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes], snapshot: Snapshot
    ) -> None:
        install_here(builds[4])
        install_here(builds[5])
        before = snapshot(trusting.path)
        done = install_here(builds[5])
        assert (done.changed, done.previous and done.previous.build) == (False, 4)
        assert snapshot(trusting.path) == before

    def test_the_active_one_again_although_it_expired(self, install_here: Install) -> None:
        data = bundles.draft(expires="2026-06-30").pack()
        install_here(data)
        assert install_here(data, date(2027, 1, 1)).changed is False

    def test_the_active_one_again_mends_a_damaged_disk(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        install_here(builds[4])
        install_here(builds[5])
        file = trusting.bundles / "toy" / "5-0.5.aidpost"
        for damage in (builds[5][:-9], builds[4]):
            file.write_bytes(damage)
            with pytest.raises(BundleError, match="damaged") as caught:
                active_bundle(trusting)
            assert "Install the bundle again" in caught.value.hint
            done = install_here(builds[5])
            assert (done.changed, done.previous and done.previous.build) == (True, 4)
            assert active_bundle(trusting).manifest.build == 5

    def test_a_clock_that_is_not_set_refuses_nothing(self, install_here: Install) -> None:
        assert install_here(bundles.draft(expires="2020-01-01").pack(), None).changed

    def test_an_expired_active_bundle_reads_on(self, trusting: Home, install_here: Install) -> None:
        install_here(bundles.draft(expires="2026-06-30").pack())
        assert active_bundle(trusting).manifest.expires == "2026-06-30"

    def test_another_variant_is_taken_where_the_first_differs(self, trusting: Home, install_here: Install) -> None:
        draft = bundles.draft()
        file = "golden/noise-0.int8.f32"
        install_here(draft.holding(file, shifted(draft.members[file], 0.01)).seal())
        assert active_variant(trusting, "toy") == "float"

    @pytest.mark.parametrize("winner", ["int8", "float"])
    @pytest.mark.parametrize("speed", [None, 3.0])
    def test_the_box_times_its_variants_whatever_the_workstation_said(
        self, trusting: Home, install_here: Install, monkeypatch: pytest.MonkeyPatch, winner: str, speed: float | None
    ) -> None:
        timed: list[str] = []

        def stopwatch(engines: list[Engine]) -> Engine:
            timed.extend(engine.variant.name for engine in engines)
            return next(engine for engine in engines if engine.variant.name == winner)

        monkeypatch.setattr(installation, "fastest", stopwatch)
        install_here(bundles.draft(int8_speed=speed).pack())
        assert timed == ["int8", "float"]
        assert active_variant(trusting, "toy") == winner

    @pytest.mark.parametrize("names", [("int8",), ("float",)])
    def test_one_variant_alone_is_not_timed(
        self, trusting: Home, install_here: Install, monkeypatch: pytest.MonkeyPatch, names: tuple[str]
    ) -> None:
        monkeypatch.delattr(installation, "fastest")
        install_here(bundles.draft().having(targets={"x86": names}).pack())
        assert active_variant(trusting, "toy") == names[0]

    def test_what_fails_its_golden_outputs_is_not_timed(
        self, trusting: Home, install_here: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(installation, "fastest")
        draft = bundles.draft()
        file = "golden/noise-0.int8.f32"
        install_here(draft.holding(file, shifted(draft.members[file], 0.01)).seal())
        assert active_variant(trusting, "toy") == "float"

    def test_two_names_live_side_by_side(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[7])
        install_here(bundles.draft("other").pack())
        assert active_bundle(trusting, "toy").manifest.build == 7
        assert active_bundle(trusting, "other").manifest.build == 1
        with pytest.raises(NoBundleError, match="2 bundles are installed") as caught:
            active_bundle(trusting)
        assert "other, toy" in caught.value.hint

    def test_a_second_installation_at_the_same_time_is_refused(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        with trusting.locked(), pytest.raises(SettingError, match="Another command"):
            install_here(builds[4])


class TestActiveBundle:
    def test_nothing_is_installed(self, trusting: Home) -> None:
        for name in (None, "toy", "../home", ""):
            with pytest.raises(NoBundleError) as caught:
                active_bundle(trusting, name)
            assert "aidpost device install" in caught.value.hint

    @pytest.mark.parametrize("name", ["other", "../home", "/", "", "."])
    def test_another_name(self, trusting: Home, install_here: Install, builds: dict[int, bytes], name: str) -> None:
        install_here(builds[4])
        with pytest.raises(NoBundleError, match="No bundle is installed as") as caught:
            active_bundle(trusting, name)
        assert "toy" in caught.value.hint

    def test_trust_is_asked_again(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[4])
        root = bundles.key(signature.generate())
        trust_file.change(trusting, lambda trust: msgspec.structs.replace(trust, root=root))
        with pytest.raises(UntrustedKeyError):
            active_bundle(trusting)

    def test_a_file_that_is_gone(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[4])
        (trusting.bundles / "toy" / "4-0.4.aidpost").unlink()
        with pytest.raises(BundleError, match="is lost"):
            active_bundle(trusting)

    @pytest.mark.parametrize("content", [b"", b"{}", b'{"more":1}', b"\xff", b" " * 100_000, b"[" * 50_000])
    def test_a_damaged_record_is_said_and_nothing_is_swept(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes], content: bytes
    ) -> None:
        install_here(builds[4])
        (trusting.bundles / "toy" / "state.json").write_bytes(content)
        with pytest.raises(BundleError, match="record of what is installed as toy is damaged") as caught:
            active_bundle(trusting)
        assert "install the newest" in caught.value.hint
        install_here(bundles.draft("other").pack())
        assert (trusting.bundles / "toy" / "4-0.4.aidpost").exists()
        with pytest.raises(BundleError, match="damaged"):
            install_here(builds[5])


class TestRollback:
    def test_it_returns_to_the_one_before_and_forth(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        install_here(builds[4])
        install_here(builds[5])
        assert [one.build for one in rollback(trusting, "toy")] == [4, 5]
        assert active_bundle(trusting).manifest.build == 4
        assert [one.build for one in rollback(trusting, "toy")] == [5, 4]
        assert active_bundle(trusting).manifest.build == 5

    def test_it_does_not_open_the_door_to_older_ones(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        for build in (5, 6):
            install_here(builds[build])
        rollback(trusting, "toy")
        with pytest.raises(RollbackError, match="older than build 6"):
            install_here(builds[4])
        assert install_here(builds[6]).changed
        assert install_here(builds[7]).changed

    def test_the_one_before_may_have_expired(self, trusting: Home, install_here: Install) -> None:
        draft = bundles.draft()
        install_here(draft.having(build=1, version="1", expires="2025-06-30").seal(), date(2025, 1, 1))
        install_here(draft.having(build=2, version="2").seal())
        assert rollback(trusting, "toy")[0].build == 1
        assert active_bundle(trusting).manifest.expires == "2025-06-30"

    def test_there_is_none_before(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[4])
        with pytest.raises(RollbackError, match=r"Only 0\.4") as caught:
            rollback(trusting, "toy")
        assert caught.value.hint

    def test_nothing_is_installed(self, trusting: Home) -> None:
        with pytest.raises(NoBundleError):
            rollback(trusting, "toy")

    def test_one_that_can_no_longer_be_read_is_not_activated(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes], snapshot: Snapshot
    ) -> None:
        old_key = signature.generate()
        trust_file.change(trusting, lambda trust: msgspec.structs.replace(trust, keys=(bundles.key(old_key),)))
        install_here(bundles.draft(build=1, private_key=old_key).pack())
        install_here(builds[5])
        trust_file.change(
            trusting, lambda trust: msgspec.structs.replace(trust, keys=(), revoked=(bundles.key(old_key),))
        )
        before = snapshot(trusting.path)
        with pytest.raises(RevokedKeyError):
            rollback(trusting, "toy")
        assert snapshot(trusting.path) == before
        assert active_bundle(trusting).manifest.build == 5


class TestEntries:
    def test_an_empty_home(self, trusting: Home) -> None:
        assert entries(trusting) == []

    def test_the_active_one_comes_first(self, trusting: Home, install_here: Install, builds: dict[int, bytes]) -> None:
        install_here(builds[4])
        install_here(builds[5])
        install_here(bundles.draft("another").pack())
        found = [(one.name, one.slot and one.slot.build, one.active, one.problem) for one in entries(trusting)]
        assert found == [("another", 1, True, None), ("toy", 5, True, None), ("toy", 4, False, None)]

    def test_what_cannot_be_used_is_listed_with_its_reason(
        self, trusting: Home, install_here: Install, builds: dict[int, bytes]
    ) -> None:
        install_here(builds[4])
        install_here(builds[5])
        install_here(bundles.draft("another").pack())
        (trusting.bundles / "toy" / "4-0.4.aidpost").write_bytes(b"")
        (trusting.bundles / "another" / "state.json").write_bytes(b"")
        problems = [str(one.problem) for one in entries(trusting)]
        assert "record" in problems[0]
        assert problems[1] == "None"
        assert "damaged on this disk" in problems[2]


# ---- interruptions --------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_everything_as_it_was(
    trusting: Home, install_here: Install, builds: dict[int, bytes], snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_here(builds[4])
    before = snapshot(trusting.path)
    real = durable.write_durably
    for file in ("5-0.5.aidpost", "state.json"):

        def full(path: Path, content: bytes, *, mode: int, last: str = file) -> None:
            if path.name == last:
                raise StorageFullError("full", "free some space")
            real(path, content, mode=mode)

        monkeypatch.setattr(slots, "write_durably", full)
        with pytest.raises(StorageFullError):
            install_here(builds[5])
        assert snapshot(trusting.path) == before


def test_a_full_disk_leaves_no_folder(
    trusting: Home, install_here: Install, builds: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, *, mode: int) -> None:
        raise StorageFullError("full", "free some space")

    monkeypatch.setattr(slots, "write_durably", full)
    with pytest.raises(StorageFullError):
        install_here(builds[4])
    assert list(trusting.bundles.iterdir()) == []


def test_what_a_killed_first_installation_left_is_swept(trusting: Home, install_here: Install) -> None:
    folder = trusting.bundles / "toy"
    folder.mkdir(parents=True)
    for name in ("4-0.4.aidpost", ".5-0.5.aidpost.x1y2", ".state.json.x1y2"):
        (folder / name).write_bytes(b"half")
    with pytest.raises(BundleError):
        install_here(b"")
    assert list(trusting.bundles.iterdir()) == []


KILLED_AT_EVERY_INSTANT = """
import io, os, shutil, signal, sys
from datetime import date
from pathlib import Path
import numpy as np
from PIL import Image
from aidpost_device.bundle.install import install
from aidpost_device.home import Home

data, start, results = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), Path(sys.argv[3])

def prepare(name, content, spec):
    return np.asarray(Image.open(io.BytesIO(content)))[..., None]

def install_until(instant, home):
    instants = iter(range(instant))
    def tick():
        if next(instants, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    def watched(real):
        def run(*arguments):
            tick()
            result = real(*arguments)
            tick()
            return result
        return run
    os.fsync, Path.replace, Path.unlink = watched(os.fsync), watched(Path.replace), watched(Path.unlink)
    install(Home(home), data, date(2026, 1, 1), prepare=prepare, target="x86")

for instant in range(1000):
    home = results / f"{instant:03}"
    shutil.copytree(start, home)
    child = os.fork()
    if child == 0:
        install_until(instant, home)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_killed_at_any_instant(trusting: Home, install_here: Install, builds: dict[int, bytes], tmp_path: Path) -> None:
    """Either the old bundle is active or the new one, whole; the next installation cleans up and goes through."""
    install_here(builds[4])
    install_here(builds[5])
    (tmp_path / "six").write_bytes(builds[6])
    arguments = [str(tmp_path / "six"), str(trusting.path), str(tmp_path / "results")]
    subprocess.run([sys.executable, "-P", "-c", KILLED_AT_EVERY_INSTANT, *arguments], check=True)
    active: list[int] = []
    for folder in sorted((tmp_path / "results").iterdir()):
        killed = Home(folder)
        active.append(active_bundle(killed).manifest.build)
        install(killed, builds[7], TODAY, prepare=bundles.prepare, target="x86")
        assert active_bundle(killed).manifest.build == 7
        left = {path.name for path in (killed.bundles / "toy").iterdir()}
        assert left == {"7-0.7.aidpost", f"{active[-1]}-0.{active[-1]}.aidpost", "state.json"}
    # The cuts must have fallen before, between and after the two renames, or this test tests nothing.
    assert active == sorted(active)
    assert active.count(5) >= 8
    assert active.count(6) >= 4
