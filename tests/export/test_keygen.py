"""Keys and trust files as the workstation's commands make them, and a box takes them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aidpost_device.bundle.signature import fingerprint, load_private, parse_public, public_bytes
from aidpost_device.bundle.trust import Key, Trust, pin, update
from aidpost_device.cli.main import aidpost
from aidpost_device.errors import SettingError, TrustError


def call(*arguments: object) -> Result:
    return CliRunner().invoke(aidpost, ["export", *map(str, arguments)], catch_exceptions=True)


def keygen(path: Path, *options: str) -> Key:
    """Make a pair and give its public half."""
    result = call("keygen", path, *options)
    assert result.exit_code == 0, result.output
    public, comment = parse_public(path.with_name(path.name + ".pub").read_bytes())
    assert fingerprint(public) in result.output
    return Key(public=public, comment=comment)


def trust(out: Path, root: Path, version: int, *options: object) -> bytes:
    result = call("trust", "--key", root, "--version", version, "--out", out, *options)
    assert result.exit_code == 0, repr(result.exception)
    return out.read_bytes()


def test_a_pair_is_made_that_belongs_together_and_only_its_owner_can_read(tmp_path: Path) -> None:
    public = keygen(tmp_path / "key", "--comment", "District hospital")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert public_bytes(load_private(tmp_path / "key")) == public.public
    assert public.comment == "District hospital"
    assert b"PRIVATE" not in (tmp_path / "key.pub").read_bytes()


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    result = call("keygen", tmp_path / "key")
    assert isinstance(result.exception, SettingError)
    assert str(result.exception) == f"{tmp_path / existing} exists already and is not overwritten."
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_a_trust_file_moves_a_box_forward(tmp_path: Path) -> None:
    root, colleague = keygen(tmp_path / "root"), keygen(tmp_path / "colleague", "--comment", "Colleague")
    box = pin(Trust(), root.public)
    first = trust(tmp_path / "trust-1", tmp_path / "root", 1, "--add", tmp_path / "colleague.pub")
    box = update(box, first)
    assert box.keys == (colleague,)
    second = trust(tmp_path / "trust-2", tmp_path / "root", 2, "--revoke", tmp_path / "colleague.pub")
    box = update(box, second)
    assert (box.version, box.keys, box.revoked) == (2, (), (colleague,))
    with pytest.raises(TrustError):
        update(box, first)


def test_a_new_root_signs_together_with_the_old_one(tmp_path: Path) -> None:
    old, new = keygen(tmp_path / "old"), keygen(tmp_path / "new")
    box = pin(Trust(), old.public)
    moved = update(box, trust(tmp_path / "t", tmp_path / "old", 1, "--new-root", tmp_path / "new"))
    assert moved.root is not None
    assert moved.root.public == new.public


def test_a_trust_file_that_contradicts_itself_is_not_written(tmp_path: Path) -> None:
    keygen(tmp_path / "root")
    keygen(tmp_path / "other")
    both = ("--add", tmp_path / "other.pub", "--revoke", tmp_path / "other.pub")
    result = call("trust", "--key", tmp_path / "root", "--version", 1, "--out", tmp_path / "t", *both)
    assert isinstance(result.exception, TrustError)
    assert not (tmp_path / "t").exists()
