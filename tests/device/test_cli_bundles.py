"""`aidpost device trust | install | bundles | rollback`, as people type them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import pytest

from aidpost_device.bundle import signature
from aidpost_device.bundle.install import Prepare, active_bundle
from aidpost_device.bundle.manifest import Acceptance
from aidpost_device.bundle.trust import Statement, sign_update
from aidpost_device.cli import bundles as bundles_cli
from aidpost_device.cli import device as device_cli
from aidpost_device.cli.main import main
from aidpost_device.home import Home

from . import bundles

AIDPOST = "from aidpost_device.cli.main import main; main()"
Run = Callable[..., tuple[int, str, str]]
ROOT_SHOWN = signature.fingerprint(signature.public_bytes(bundles.ROOT))


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; give exit code, stdout and stderr. Golden inputs are decoded in this process."""

    @contextmanager
    def decoding() -> Iterator[Prepare]:
        yield bundles.prepare

    monkeypatch.setattr(bundles_cli, "decoding", decoding)
    monkeypatch.setenv("AIDPOST_TARGET", "x86")

    def typed(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["device", *map(str, arguments)])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return typed


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """The root key's public file."""
    path = tmp_path / "office.pub"
    path.write_text(signature.format_public(signature.public_bytes(bundles.ROOT), "office 1"))
    return path


def bundle_file(folder: Path, build: int, **changes: object) -> Path:
    """A bundle on the stick."""
    path = folder / f"toy-{build}.aidpost"
    path.write_bytes(bundles.draft().having(build=build, version=f"0.{build}", **changes).seal())
    return path


def test_a_day_with_bundles(run: Run, home: Home, public: Path, tmp_path: Path) -> None:
    assert run("bundles") == (0, "No bundle is installed. Install one: aidpost device install FILE\n", "")
    assert run("trust", "add", public, "--yes")[0] == 0

    code, out, _ = run("install", bundle_file(tmp_path, 4))
    assert code == 0
    assert "toy 0.4 (build 4) is installed and active, with variant int8." in out
    assert "generated images" in out
    assert "rollback" not in out

    code, out, _ = run("install", bundle_file(tmp_path, 5, expires="2099-12-31"))
    assert "To return to 0.4: aidpost device rollback toy" in out
    assert "nothing was changed" in run("install", tmp_path / "toy-5.aidpost")[1]

    lines = run("bundles")[1].splitlines()
    assert lines[0] == "toy"
    assert lines[1] == f"  active    0.5  build 5  int8  expires 2099-12-31  key {ROOT_SHOWN}"
    assert lines[3] == f"  previous  0.4  build 4  int8  expires never  key {ROOT_SHOWN}"

    assert run("rollback", "toy") == (0, "toy 0.4 (build 4) is active again, instead of 0.5.\n", "")
    assert active_bundle(home).manifest.build == 4


def test_golden_inputs_are_decoded_as_scans_are(home: Home, public: Path, tmp_path: Path) -> None:
    """The whole command in a process of its own, with its decode worker."""
    environment = {**os.environ, "AIDPOST_TARGET": "x86"}
    for arguments in (["trust", "add", public, "--yes"], ["install", bundle_file(tmp_path, 4)]):
        command = [sys.executable, "-P", "-c", AIDPOST, "device", *map(str, arguments)]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    assert active_bundle(home).manifest.build == 4


def test_what_a_bundle_was_packed_in_spite_of_is_said(run: Run, public: Path, tmp_path: Path) -> None:
    run("trust", "add", public, "--yes")
    unfair = Acceptance(gate="group", subject="opacity: sex F", found="sensitivity 60%", reason="few women so far")
    few = msgspec.structs.replace(unfair, subject="opacity: age 65+", found="not shown: 3 positives", reason="")
    assert run("install", bundle_file(tmp_path, 4, acceptances=(unfair, few, few)))[0] == 0
    out = run("bundles")[1]
    assert "  packed in spite of 1 gate, accepted by a person; 2 things not judged for lack of cases\n" in out


def test_a_bundle_that_passed_everything_says_nothing_of_it(run: Run, public: Path, tmp_path: Path) -> None:
    run("trust", "add", public, "--yes")
    assert run("install", bundle_file(tmp_path, 4))[0] == 0
    out = run("bundles")[1]
    assert "in spite of" not in out and "not judged" not in out


def test_a_refused_bundle(run: Run, home: Home, public: Path, tmp_path: Path) -> None:
    code, out, err = run("install", bundle_file(tmp_path, 4))
    assert (code, out) == (1, "")
    assert err.startswith(
        f"aidpost: The bundle is signed by key {ROOT_SHOWN}, which this box does not accept.\n  hint: "
    )
    assert not home.bundles.exists()


def test_a_file_that_is_no_bundle(run: Run, public: Path) -> None:
    assert "not a bundle" in run("install", public)[2]
    assert "cannot be opened" in run("install", "nowhere.aidpost")[2]


def test_nothing_to_roll_back(run: Run) -> None:
    code, _, err = run("rollback", "toy")
    assert code == 1
    assert "No bundle is installed as 'toy'" in err


def test_problems_are_listed(run: Run, home: Home, public: Path, tmp_path: Path) -> None:
    run("trust", "add", public, "--yes")
    run("install", bundle_file(tmp_path, 4))
    (home.bundles / "toy" / "4-0.4.aidpost").write_bytes(b"")
    out = run("bundles")[1]
    assert "cannot be used: The installed bundle toy 0.4 was damaged on this disk." in out
    assert "hint: Install the bundle again" in out


def test_an_expired_active_bundle_is_an_alarm(
    run: Run, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("trust", "add", public, "--yes")
    monkeypatch.setattr("aidpost_device.clock.today", lambda: None)
    out = run("install", bundle_file(tmp_path, 4, expires="2025-02-01"))[1]
    assert "The clock is not set" in out
    assert "expired" not in run("bundles")[1]
    monkeypatch.undo()
    monkeypatch.setenv("AIDPOST_HOME", str(tmp_path / "home"))
    assert "expired on 2025-02-01. It reads on" in run("bundles")[1]


class TestTrust:
    def test_the_fingerprint_is_shown_and_asked(
        self, run: Run, home: Home, public: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(click, "confirm", lambda text, abort: asked.append(text))
        code, out, _ = run("trust", "add", public)
        assert code == 0
        assert out.startswith(f"Fingerprint: {ROOT_SHOWN}  office 1\n")
        assert len(asked) == 1

    def test_a_no_changes_nothing(self, run: Run, home: Home, public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no(text: str, abort: bool) -> None:
            raise click.Abort

        monkeypatch.setattr(click, "confirm", no)
        assert run("trust", "add", public)[0] == 130
        assert not home.trust_file.exists()

    def test_the_same_key_again_and_another(self, run: Run, public: Path, tmp_path: Path) -> None:
        run("trust", "add", public, "--yes")
        assert "already" in run("trust", "add", public)[1]
        signature.write_keypair(tmp_path / "other")
        code, _, err = run("trust", "add", tmp_path / "other.pub", "--yes")
        assert code == 1
        assert "already has its root key" in err

    def test_the_list(self, run: Run, public: Path, tmp_path: Path) -> None:
        assert "trusts no key yet" in run("trust", "list")[1]
        run("trust", "add", public, "--yes")
        assert run("trust", "list")[1] == f"Trust, version 0\n  root      {ROOT_SHOWN}  office 1\n"

        one, two = bundles.key(signature.generate(), "[bold]one"), bundles.key(signature.generate())
        statement = Statement(version=3, root=bundles.key(bundles.ROOT, "office 1"), keys=(one,), revoked=(two,))
        (tmp_path / "trust-3").write_bytes(sign_update(statement, bundles.ROOT))
        code, out, _ = run("trust", "update", tmp_path / "trust-3")
        assert (code, out) == (0, "The trust is now at version 3; keys besides the root: 1, revoked: 1.\n")
        assert run("trust", "list")[1].splitlines() == [
            "Trust, version 3",
            f"  root      {ROOT_SHOWN}  office 1",
            f"  accepted  {signature.fingerprint(one.public)}  [bold]one",
            f"  revoked   {signature.fingerprint(two.public)}",
        ]
        assert run("trust", "update", tmp_path / "trust-3")[0] == 0, "given again after a power cut"
        older = Statement(version=2, root=statement.root)
        (tmp_path / "trust-2").write_bytes(sign_update(older, bundles.ROOT))
        code, _, err = run("trust", "update", tmp_path / "trust-2")
        assert code == 1
        assert "has version 2; this box has 3" in err

    def test_an_update_before_any_key(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "trust-1"
        file.write_bytes(sign_update(Statement(version=1, root=bundles.key(bundles.ROOT)), bundles.ROOT))
        code, _, err = run("trust", "update", file)
        assert code == 1
        assert "aidpost device trust add" in err


class TestHelp:
    def test_the_group_lists_every_command_with_its_line(self, run: Run) -> None:
        out = run("--help")[1]
        for name, (_, summary) in device_cli.COMMANDS.items():
            assert f"  {name} " in out
            assert summary in out

    @pytest.mark.parametrize("name", sorted(device_cli.COMMANDS))
    def test_the_line_is_the_commands_own(self, name: str) -> None:
        if name == "screen":
            pytest.importorskip("aidpost_device.cli.screen", reason="the screen command is not here yet")
        command = device_cli.device.get_command(click.Context(device_cli.device), name)
        assert command is not None
        assert (command.help or "").splitlines()[0] == device_cli.COMMANDS[name][1]

    def test_an_unknown_command(self, run: Run) -> None:
        assert run("scren")[0] == 2
