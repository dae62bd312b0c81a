"""Trust: which keys may sign bundles for this box. It only moves forward.

A person pins the first key, the root, by comparing its fingerprint. Every later key, every revocation and a change of
the root itself comes in a trust file that the root signed, each with a greater version than the one before. A trust
file states the whole of the trust, so a box that missed some may skip them, except one that changed the root.

A trust file is two lines of text: the statement as JSON, and the root's signature over it in base64. When the root
changes, a third line is the new root's signature: a key that nobody holds cannot become root by a typing error.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct

from aidpost_device.bundle import signature
from aidpost_device.errors import RevokedKeyError, SignatureError, TrustError, UntrustedKeyError

FILE_LIMIT = 256 * 1024
"""Largest trust file, bytes."""

REVOKED_LIMIT = 1024
"""Most revoked keys."""

PublicKey = Annotated[bytes, Meta(min_length=signature.KEY_SIZE, max_length=signature.KEY_SIZE)]
Version = Annotated[int, Meta(ge=0, le=2**53)]
"""Counter of trust files; 0 for a trust that is only pinned."""


class Key(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A public key and what people call it."""

    public: PublicKey
    comment: Annotated[str, Meta(max_length=64, pattern=r"^[ -~]*\Z")] = ""


class Trust(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of one box. The root signs trust files and may sign bundles; `keys` sign bundles only."""

    schema: Literal[1] = 1
    version: Version = 0
    root: Key | None = None
    keys: Annotated[tuple[Key, ...], Meta(max_length=64)] = ()
    revoked: Annotated[tuple[Key, ...], Meta(max_length=REVOKED_LIMIT)] = ()


class Statement(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a trust file says: the whole trust from this version on. Keys revoked earlier stay revoked."""

    schema: Literal[1] = 1
    version: Annotated[int, Meta(ge=1, le=2**53)]
    root: Key
    keys: Annotated[tuple[Key, ...], Meta(max_length=64)] = ()
    revoked: Annotated[tuple[Key, ...], Meta(max_length=REVOKED_LIMIT)] = ()


_ASK = "Ask the person who holds the root key for the current trust file."
_ODD = "Ask the person who holds the root key to make the trust file again."


def pin(trust: Trust, public_key: bytes, comment: str = "") -> Trust:
    """Pin the first key as root. Raises `TrustError` when another key is pinned already."""
    if trust.root is not None and trust.root.public == public_key:
        return trust
    if trust.root is not None:
        raise TrustError(
            f"This box already has its root key, {signature.fingerprint(trust.root.public)}.",
            "Further keys come in a trust file that this root key signed: aidpost device trust update FILE.",
        )
    return msgspec.structs.replace(trust, root=Key(public=public_key, comment=comment))


def update(trust: Trust, file: bytes) -> Trust:
    """Move the trust forward by a trust file. Raises `TrustError`; the old trust then stays as it was.

    The file that the trust came from changes nothing, so that a command cut off by the power can be given again. Where
    it changed the root, this box's root is by then the one that signed it second.
    """
    if trust.root is None:
        raise TrustError("This box has no root key yet.", "Pin one first: aidpost device trust add FILE.pub")
    content, signatures = _split(file)
    signers = [_signer(content, signed) for signed in signatures]
    stranger = TrustError(
        f"The trust file is not signed by this box's root key, {signature.fingerprint(trust.root.public)}.",
        "If the root key was changed meanwhile, bring the trust file that changed it first.",
    )
    if trust.root.public not in signers:
        raise stranger
    statement = _parse_statement(content)
    revoked = {key.public: key for key in (*trust.revoked, *statement.revoked)}
    moved = Trust(version=statement.version, root=statement.root, keys=statement.keys, revoked=tuple(revoked.values()))
    if moved == trust:
        return trust
    if signers[0] != trust.root.public:
        raise stranger
    if statement.version <= trust.version:
        raise TrustError(f"The trust file has version {statement.version}; this box has {trust.version} already.", _ASK)
    _check_new_root(trust.root, statement.root, signers[1:])
    _check(moved)
    return moved


def sign_update(statement: Statement, root: Ed25519PrivateKey, new_root: Ed25519PrivateKey | None = None) -> bytes:
    """Write the trust file. `root` is the key the boxes have now; `new_root` too when the statement names another.

    Raises `TrustError` for a file that no box with that root could accept.
    """
    content = msgspec.json.encode(statement)
    signers = [key for key in (root, new_root) if key is not None]
    lines = [content, *(base64.b64encode(signature.sign(content, key, signature.TRUST)) for key in signers)]
    file = b"".join(line + b"\n" for line in lines)
    update(Trust(root=Key(public=signature.public_bytes(root))), file)
    return file


def require(trust: Trust, public_key: bytes) -> None:
    """Accept a key that may sign bundles. Raises `RevokedKeyError` or `UntrustedKeyError`."""
    _require_fingerprint(trust, signature.fingerprint(public_key), public_key)


def require_fingerprint(trust: Trust, fingerprint: str) -> None:
    """Accept the fingerprint of a key that may sign bundles. Raises as `require` does."""
    _require_fingerprint(trust, fingerprint, None)


def _require_fingerprint(trust: Trust, fingerprint: str, public_key: bytes | None) -> None:
    def is_it(key: Key) -> bool:
        return key.public == public_key if public_key else signature.fingerprint(key.public) == fingerprint

    if any(is_it(key) for key in trust.revoked):
        raise RevokedKeyError(
            f"The bundle is signed by key {fingerprint}, which has been revoked.",
            "Do not use it. Ask for a bundle signed by a key that is still accepted (aidpost device trust list).",
        )
    accepted = trust.keys if trust.root is None else (trust.root, *trust.keys)
    if not any(is_it(key) for key in accepted):
        raise UntrustedKeyError(
            f"The bundle is signed by key {fingerprint}, which this box does not accept.",
            "If the key is right, add it: `aidpost device trust add FILE.pub` for a box's first key, "
            "`aidpost device trust update FILE` for a later one.",
        )


def parse(content: bytes) -> Trust:
    """Read a trust as `serialise` wrote it. Raises `TrustError`."""
    if len(content) > FILE_LIMIT:
        raise TrustError(f"The box's trust has {len(content)} bytes, more than {FILE_LIMIT}.", _RESTORE)
    try:
        trust = msgspec.json.decode(content, type=Trust)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(f"The box's trust cannot be read: {error}.", _RESTORE) from error
    _check(trust)
    return trust


_RESTORE = "The file trust.json in the home folder is damaged: remove it and pin the root key again."


def serialise(trust: Trust) -> bytes:
    """Write a trust for the home folder."""
    return msgspec.json.format(msgspec.json.encode(trust)) + b"\n"


def _split(file: bytes) -> tuple[bytes, list[bytes]]:
    """Part a trust file into its statement and one or two signatures of 96 bytes."""
    if len(file) > FILE_LIMIT:
        raise TrustError(f"The trust file has {len(file)} bytes; at most {FILE_LIMIT} are allowed.", _ASK)
    content, *lines = file.split(b"\n")
    if len(lines) not in (2, 3) or lines[-1]:
        raise TrustError("The file is not a trust file, or it is cut off.", _ASK)
    return content, [_decode(line) for line in lines[:-1]]


def _decode(line: bytes) -> bytes:
    try:
        decoded = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise TrustError("A signature in the trust file is damaged.", _ASK) from error
    if base64.b64encode(decoded) != line:
        raise TrustError("A signature in the trust file is not in its one canonical form.", _ASK)
    return decoded


def _signer(content: bytes, signed: bytes) -> bytes:
    try:
        return signature.check(content, signed, signature.TRUST)
    except SignatureError as error:
        raise TrustError(f"The trust file was changed or damaged. {error}", _ASK) from error


def _parse_statement(content: bytes) -> Statement:
    try:
        statement = msgspec.json.decode(content, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(f"The trust file cannot be accepted: {error}.", _ODD) from error
    if msgspec.json.encode(statement) != content:
        raise TrustError("The trust file is not in canonical form.", _ODD)
    return statement


def _check_new_root(old: Key, new: Key, signers: list[bytes]) -> None:
    """See that a new root, and only a new root, signed the statement too."""
    if signers != ([] if new.public == old.public else [new.public]):
        raise TrustError(
            f"The trust file names {signature.fingerprint(new.public)} as root; its signatures do not fit that.",
            _ODD,
        )


def _check(trust: Trust) -> None:
    """Check what the field types cannot say."""
    accepted = [key.public for key in (*trust.keys, *([trust.root] if trust.root else []))]
    revoked = {key.public for key in trust.revoked}
    for public_key in accepted:
        if public_key in revoked:
            raise TrustError(f"Key {signature.fingerprint(public_key)} is both accepted and revoked.", _ODD)
    if len(set(accepted)) != len(accepted):
        raise TrustError("A key stands twice in the trust.", _ODD)
    if len(trust.revoked) > REVOKED_LIMIT:
        raise TrustError(f"The trust would hold {len(trust.revoked)} revoked keys, more than {REVOKED_LIMIT}.", _ODD)
    if trust.root is None and (trust.keys or trust.version):
        raise TrustError("The trust has keys but no root.", _RESTORE)
