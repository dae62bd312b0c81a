"""Ed25519 signatures, key files, and fingerprints that people compare over the phone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from aidpost_device.durable import sync_folder
from aidpost_device.errors import SettingError, SignatureError, TrustError
from aidpost_device.incoming import read_incoming

BUNDLE = b"aidpost bundle 1\n"
"""Stands before a manifest when it is signed, so that no signature can be used for something else."""
TRUST = b"aidpost trust 1\n"
"""Stands before a trust statement when it is signed."""

KEY_SIZE = 32
"""Bytes of a public key."""
SIGNATURE_SIZE = 96
"""Bytes of a signature: the public key and the Ed25519 signature."""
KEY_FILE_LIMIT = 4096
"""Largest key file, bytes."""

_KIND = "aidpost-ed25519"
_LINE = re.compile(rf"{_KIND} ([A-Za-z0-9+/]{{43}}=)(?: ([ -~]{{1,64}}))?\n?")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ASK_KEY = "Ask for the file that `aidpost export keygen` wrote (its name ends in .pub)."


def generate() -> Ed25519PrivateKey:
    """Make a new private key."""
    return Ed25519PrivateKey.generate()


def public_bytes(private_key: Ed25519PrivateKey) -> bytes:
    """Give the 32 bytes of the public key that belongs to a private key."""
    return private_key.public_key().public_bytes_raw()


def sign(content: bytes, private_key: Ed25519PrivateKey, context: bytes = BUNDLE) -> bytes:
    """Sign content: 96 bytes, the public key and the signature over context and content."""
    return public_bytes(private_key) + private_key.sign(context + content)


def check(content: bytes, signature: bytes, context: bytes = BUNDLE) -> bytes:
    """Give the public key whose signature over the content this is. Raises `SignatureError`."""
    if len(signature) != SIGNATURE_SIZE:
        raise SignatureError(f"The signature has {len(signature)} bytes instead of {SIGNATURE_SIZE}.", _ASK_AGAIN)
    public_key = signature[:KEY_SIZE]
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature[KEY_SIZE:], context + content)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("The signature does not belong to this content.", _ASK_AGAIN) from error
    return public_key


_ASK_AGAIN = "Copy the file again from where it came; if it is refused again, do not use it and report it."


def fingerprint(public_key: bytes) -> str:
    """Shorten a public key to 100 bits of its SHA-256 in five groups, in letters that are not mistaken on the phone."""
    bits = int.from_bytes(hashlib.sha256(public_key).digest(), "big") >> (256 - 100)
    letters = "".join(_CROCKFORD[bits >> shift & 31] for shift in range(95, -1, -5))
    return "-".join(letters[start : start + 4] for start in range(0, 20, 4))


def write_keypair(path: Path, comment: str = "") -> str:
    """Write a new private key to `path` (mode 600) and its public key to `path`.pub; give the fingerprint.

    Raises `SettingError` when one of the two files exists: a key that is lost cannot be made again.
    """
    public_path = path.with_name(path.name + ".pub")
    for target in (path, public_path):
        if target.exists() or target.is_symlink():
            raise SettingError(f"{target} exists already and is not overwritten.", "Choose another name for the key.")
    key = generate()
    line = format_public(public_bytes(key), comment)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _create(path, pem, 0o600)
        _create(public_path, line.encode("ascii"), 0o644)
        sync_folder(path.absolute().parent)
    except OSError as error:
        raise SettingError(f"The key {path} cannot be written: {error.strerror}.", "Choose another folder.") from error
    return fingerprint(public_bytes(key))


def load_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key from its PEM file. Raises `TrustError`."""
    hint = "Name the private key that `aidpost export keygen` wrote (without .pub)."
    try:
        key = load_pem_private_key(read_incoming(path, KEY_FILE_LIMIT), password=None)
    except (ValueError, TypeError) as error:
        raise TrustError(f"{path} holds no private key that can be read.", hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError(f"{path} holds another kind of key than Ed25519.", hint)
    return key


def format_public(public_key: bytes, comment: str = "") -> str:
    """Write a public key as its one line of text. Raises `TrustError` for a comment that is not plain ASCII."""
    line = " ".join(filter(None, (_KIND, base64.b64encode(public_key).decode("ascii"), comment))) + "\n"
    if not _LINE.fullmatch(line):
        raise TrustError(f"The comment {comment!r} cannot stand in a key file.", "Use at most 64 ASCII characters.")
    return line


def parse_public(content: bytes) -> tuple[bytes, str]:
    """Read a public key and its comment from its line of text. Raises `TrustError`."""
    match = _LINE.fullmatch(content.decode("latin-1"))
    if not match:
        raise TrustError("The file holds no public key.", _ASK_KEY)
    try:
        public_key = base64.b64decode(match[1], validate=True)
    except binascii.Error as error:
        raise TrustError("The public key in the file is damaged.", _ASK_KEY) from error
    if base64.b64encode(public_key).decode("ascii") != match[1]:
        raise TrustError("The public key in the file is not in its one canonical form.", _ASK_KEY)
    return public_key, match[2] or ""


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet, and flush it to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
