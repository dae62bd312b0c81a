"""Trust starts with a key that a person pins and only moves forward, by files that the root signed."""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.bundle import signature, trust_file
from aidpost_device.bundle.trust import (
    Key,
    Statement,
    Trust,
    parse,
    pin,
    require,
    require_fingerprint,
    serialise,
    sign_update,
    update,
)
from aidpost_device.errors import (
    RevokedKeyError,
    SettingError,
    SignatureError,
    StorageFullError,
    TrustError,
    UntrustedKeyError,
)
from aidpost_device.home import Home

from .bundles import ROOT, STRANGER, TRUST, key

SECOND = signature.generate()
NEW_ROOT = signature.generate()


def statement(version: int = 1, **changes: object) -> Statement:
    """A trust statement that adds one key."""
    return msgspec.structs.replace(Statement(version=version, root=key(ROOT), keys=(key(SECOND),)), **changes)


def signed(content: bytes, *signers: Ed25519PrivateKey) -> bytes:
    """Sign a statement, good or bad."""
    lines = [content, *(base64.b64encode(signature.sign(content, one, signature.TRUST)) for one in signers)]
    return b"".join(line + b"\n" for line in lines)


class TestPin:
    def test_the_first_key_becomes_root(self) -> None:
        trust = pin(Trust(), signature.public_bytes(ROOT), "office")
        assert trust.root == key(ROOT, "office")
        require(trust, signature.public_bytes(ROOT))

    def test_the_same_key_again_changes_nothing(self) -> None:
        assert pin(TRUST, signature.public_bytes(ROOT), "another comment") == TRUST

    def test_a_second_key_is_refused(self) -> None:
        with pytest.raises(TrustError, match="already has its root key") as caught:
            pin(TRUST, signature.public_bytes(STRANGER))
        assert "trust update" in caught.value.hint


class TestRequire:
    def test_nobody_is_trusted_at_first(self) -> None:
        with pytest.raises(UntrustedKeyError):
            require(Trust(), signature.public_bytes(ROOT))

    @pytest.mark.parametrize("ask", [
        require,
        lambda trust, public_key: require_fingerprint(trust, signature.fingerprint(public_key)),
    ])  # fmt: skip
    def test_accepted_revoked_and_unknown_keys(self, ask: Callable[[Trust, bytes], None]) -> None:
        trust = Trust(version=1, root=key(ROOT), keys=(key(SECOND),), revoked=(key(STRANGER),))
        ask(trust, signature.public_bytes(ROOT))
        ask(trust, signature.public_bytes(SECOND))
        with pytest.raises(RevokedKeyError, match=signature.fingerprint(signature.public_bytes(STRANGER))):
            ask(trust, signature.public_bytes(STRANGER))
        with pytest.raises(UntrustedKeyError):
            ask(trust, signature.public_bytes(NEW_ROOT))


class TestUpdate:
    def test_it_adds_keys(self) -> None:
        trust = update(TRUST, sign_update(statement(), ROOT))
        assert (trust.version, trust.keys) == (1, (key(SECOND),))

    def test_a_box_may_skip_versions(self) -> None:
        assert update(TRUST, sign_update(statement(7), ROOT)).version == 7

    def test_a_key_that_is_left_out_is_no_longer_accepted(self) -> None:
        trust = update(update(TRUST, sign_update(statement(), ROOT)), sign_update(statement(2, keys=()), ROOT))
        with pytest.raises(UntrustedKeyError):
            require(trust, signature.public_bytes(SECOND))

    def test_it_revokes(self) -> None:
        file = sign_update(statement(keys=(), revoked=(key(SECOND),)), ROOT)
        with pytest.raises(RevokedKeyError):
            require(update(TRUST, file), signature.public_bytes(SECOND))

    def test_a_revoked_key_stays_revoked_when_later_files_leave_it_out(self) -> None:
        trust = update(TRUST, sign_update(statement(keys=(), revoked=(key(SECOND),)), ROOT))
        assert update(trust, sign_update(statement(2, keys=()), ROOT)).revoked == (key(SECOND),)

    def test_a_revoked_key_cannot_come_back(self) -> None:
        trust = update(TRUST, sign_update(statement(keys=(), revoked=(key(SECOND),)), ROOT))
        with pytest.raises(TrustError, match="both accepted and revoked"):
            update(trust, sign_update(statement(2), ROOT))

    def test_the_root_can_be_changed_by_both_roots_together(self) -> None:
        file = sign_update(statement(root=key(NEW_ROOT), revoked=(key(ROOT),)), ROOT, NEW_ROOT)
        trust = update(TRUST, file)
        assert trust.root == key(NEW_ROOT)
        with pytest.raises(RevokedKeyError):
            require(trust, signature.public_bytes(ROOT))
        assert update(trust, sign_update(statement(2, root=key(NEW_ROOT)), NEW_ROOT)).version == 2
        with pytest.raises(TrustError, match="not signed by this box's root"):
            update(trust, sign_update(statement(2), ROOT))

    def test_nothing_is_possible_before_a_root_is_pinned(self) -> None:
        with pytest.raises(TrustError, match="no root key"):
            update(Trust(), sign_update(statement(), ROOT))


GOOD = sign_update(statement(), ROOT)
CONTENT = GOOD.split(b"\n")[0]
LATER = update(TRUST, GOOD)
ODD = {
    "empty": (TRUST, b"", "not a trust file"),
    "one line": (TRUST, CONTENT, "not a trust file"),
    "cut off": (TRUST, GOOD[:-1], "not a trust file"),
    "another line": (TRUST, GOOD + b"\n\n", "not a trust file"),
    "a damaged signature": (TRUST, GOOD[:-20] + b"!" * 19 + b"\n", "damaged"),
    "a signature too short": (TRUST, CONTENT + b"\nAAAA\n", "96"),
    "another content": (TRUST, GOOD.replace(b'"version":1', b'"version":2'), "changed or damaged"),
    "a stranger's signature": (TRUST, signed(CONTENT, STRANGER), "not signed by this box's root"),
    "a bundle's signature": (
        TRUST,
        CONTENT + b"\n" + base64.b64encode(signature.sign(CONTENT, ROOT)) + b"\n",
        "changed or damaged",
    ),
    "the same version with other keys": (
        msgspec.structs.replace(LATER, keys=(*LATER.keys, *LATER.keys)),
        GOOD,
        "version 1; this box has 1",
    ),
    "an older version": (msgspec.structs.replace(LATER, version=9), GOOD, "version 1; this box has 9"),
    "an unknown key": (TRUST, signed(CONTENT[:-1] + b',"more":1}', ROOT), "unknown field"),
    "another form": (TRUST, signed(CONTENT.replace(b":", b": "), ROOT), "canonical"),
    "not JSON": (TRUST, signed(b"trust me", ROOT), "cannot be accepted"),
    "deep JSON": (TRUST, signed(b"[" * 100_000, ROOT), "cannot be accepted"),
    "a key of 31 bytes": (
        TRUST,
        signed(msgspec.json.encode(statement(keys=(Key(public=b"k" * 31),))), ROOT),
        "length",
    ),
    "a control sign in a comment": (
        TRUST,
        signed(msgspec.json.encode(statement(keys=(key(SECOND, "\x1b[2J"),))), ROOT),
        "comment",
    ),
    "a comment on two lines": (
        TRUST,
        signed(msgspec.json.encode(statement(keys=(key(SECOND, "office\n"),))), ROOT),
        "comment",
    ),
    "the root revoked": (
        TRUST,
        signed(msgspec.json.encode(statement(revoked=(key(ROOT),))), ROOT),
        "both accepted and revoked",
    ),
    "a key twice": (TRUST, signed(msgspec.json.encode(statement(keys=(key(SECOND),) * 2)), ROOT), "twice"),
    "a new root that did not sign": (
        TRUST,
        signed(msgspec.json.encode(statement(root=key(NEW_ROOT))), ROOT),
        "signatures do not fit",
    ),
    "another than the new root signed": (
        TRUST,
        signed(msgspec.json.encode(statement(root=key(NEW_ROOT))), ROOT, STRANGER),
        "signatures do not fit",
    ),
    "two signatures without a new root": (TRUST, signed(CONTENT, ROOT, STRANGER), "signatures do not fit"),
    "too large": (TRUST, b"x" * 2**20, "at most"),
    "too many revoked": (
        msgspec.structs.replace(
            TRUST, revoked=tuple(Key(public=bytes(30) + number.to_bytes(2)) for number in range(1024))
        ),
        sign_update(statement(revoked=(key(STRANGER),)), ROOT),
        "more than 1024",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_refused_updates(what: str) -> None:
    trust, file, message = ODD[what]
    with pytest.raises(TrustError, match=message) as caught:
        update(trust, file)
    assert caught.value.hint


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_flipped_bit_anywhere_is_refused(bit: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TrustError):
        update(TRUST, bytes(flipped))


class TestSignUpdate:
    def test_it_refuses_what_no_box_would_take(self) -> None:
        with pytest.raises(TrustError, match="signatures do not fit"):
            sign_update(statement(root=key(NEW_ROOT)), ROOT)
        with pytest.raises(TrustError, match="twice"):
            sign_update(statement(keys=(key(ROOT),)), ROOT)


def test_the_file_that_the_trust_came_from_changes_nothing() -> None:
    assert update(LATER, GOOD) == LATER


def test_the_file_that_changed_the_root_can_be_given_again() -> None:
    file = sign_update(statement(root=key(NEW_ROOT), revoked=(key(ROOT),)), ROOT, NEW_ROOT)
    trust = update(TRUST, file)
    assert update(trust, file) == trust


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_root_that_signed_second_moves_nothing(version: int) -> None:
    """Only the first signature may move the trust, to an older version as little as to a newer one."""
    trust = msgspec.structs.replace(LATER, version=2, root=key(NEW_ROOT))
    content = msgspec.json.encode(statement(version, root=key(NEW_ROOT), keys=(key(STRANGER),)))
    with pytest.raises(TrustError, match="not signed by this box's root"):
        update(trust, signed(content, ROOT, NEW_ROOT))


class TestTrustFile:
    def test_a_new_home_trusts_nobody(self, home: Home) -> None:
        assert trust_file.load(home) == Trust()

    def test_a_change_is_kept_for_the_owner_alone(self, home: Home) -> None:
        trust_file.change(home, lambda _: LATER)
        assert trust_file.load(home) == LATER
        assert stat.S_IMODE(home.trust_file.stat().st_mode) == 0o600

    def test_a_refused_change_leaves_the_file(self, home: Home) -> None:
        trust_file.change(home, lambda _: msgspec.structs.replace(LATER, version=9))
        before = home.trust_file.read_bytes()
        with pytest.raises(TrustError):
            trust_file.change(home, lambda current: update(current, GOOD))
        assert home.trust_file.read_bytes() == before

    def test_leftovers_of_a_killed_change_are_swept(self, home: Home) -> None:
        (home.path / ".trust.json.abc").write_bytes(b"half")
        trust_file.change(home, lambda _: LATER)
        assert not list(home.path.glob(".trust.json.*"))

    @pytest.mark.parametrize(
        "content", [b"", b"{}x", b"[]", b'{"schema":2}', b'{"version":3}', b"\xff", b" " * 300_000, b"[" * 100_000]
    )
    def test_a_damaged_file_is_not_taken_for_an_empty_one(self, home: Home, content: bytes) -> None:
        home.trust_file.write_bytes(content)
        with pytest.raises((TrustError, SettingError)):
            trust_file.load(home)

    def test_what_is_written_is_read(self) -> None:
        assert parse(serialise(LATER)) == LATER

    def test_a_full_disk_leaves_the_old_trust(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        trust_file.change(home, lambda _: TRUST)

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StorageFullError):
            trust_file.change(home, lambda _: LATER)
        assert trust_file.load(home) == TRUST


class TestFingerprint:
    def test_form(self) -> None:
        shown = signature.fingerprint(signature.public_bytes(ROOT))
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){4}[0-9A-HJKMNP-TV-Z]{4}", shown)

    def test_a_known_value(self) -> None:
        # sha256 of 32 zero bytes begins 66687aad f862bd77 6c8fc18b 8; five bits at a time:
        assert signature.fingerprint(bytes(32)) == "CSM7-NBFR-CAYQ-EV4F-R65R"


class TestSignature:
    def test_it_gives_the_signers_key(self) -> None:
        assert signature.check(b"x", signature.sign(b"x", ROOT)) == signature.public_bytes(ROOT)

    @pytest.mark.parametrize("change", [
        lambda signed: signed[:-1], lambda signed: signed + b"\0", lambda signed: bytes(96), lambda signed: b"",
        lambda signed: signature.public_bytes(STRANGER) + signed[32:],
    ])  # fmt: skip
    def test_others_are_refused(self, change: Callable[[bytes], bytes]) -> None:
        with pytest.raises(SignatureError):
            signature.check(b"x", change(signature.sign(b"x", ROOT)))

    def test_a_context_cannot_stand_for_another(self) -> None:
        with pytest.raises(SignatureError):
            signature.check(b"x", signature.sign(b"x", ROOT, signature.TRUST), signature.BUNDLE)


class TestKeyFiles:
    def test_a_pair_is_written_and_read(self, tmp_path: Path) -> None:
        path = tmp_path / "office"
        shown = signature.write_keypair(path, "office 1")
        public_key, comment = signature.parse_public((tmp_path / "office.pub").read_bytes())
        assert comment == "office 1"
        assert signature.public_bytes(signature.load_private(path)) == public_key
        assert signature.fingerprint(public_key) == shown
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("existing", ["office", "office.pub"])
    def test_nothing_is_overwritten(self, tmp_path: Path, existing: str) -> None:
        (tmp_path / existing).write_text("mine")
        with pytest.raises(SettingError, match="exists already"):
            signature.write_keypair(tmp_path / "office")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match="cannot be written"):
            signature.write_keypair(tmp_path / "no" / "office")

    def test_a_comment_must_be_plain(self, tmp_path: Path) -> None:
        with pytest.raises(TrustError, match="comment"):
            signature.write_keypair(tmp_path / "office", "a\nb")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("content", [
        b"", b"ssh-ed25519 AAAA me\n", b"aidpost-ed25519 AAAA\n", b"aidpost-ed25519 " + b"!" * 44 + b"\n",
        b"aidpost-ed25519 " + b"A" * 42 + b"B=\n", b"aidpost-ed25519 " + b"A" * 43 + b"= a\x1bb\n", b"\xff" * 60,
    ])  # fmt: skip
    def test_other_public_files_are_refused(self, content: bytes) -> None:
        with pytest.raises(TrustError) as caught:
            signature.parse_public(content)
        assert ".pub" in caught.value.hint

    def test_a_public_file_is_no_private_key(self, tmp_path: Path) -> None:
        signature.write_keypair(tmp_path / "office")
        with pytest.raises(TrustError, match="no private key"):
            signature.load_private(tmp_path / "office.pub")

    def test_another_kind_of_key_is_refused(self, tmp_path: Path) -> None:
        pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "other").write_bytes(pem)
        with pytest.raises(TrustError, match="another kind"):
            signature.load_private(tmp_path / "other")
