"""Names that stand for people and studies outside `identity`: short enough to be read over the phone."""

from __future__ import annotations

import base64
import hashlib
import secrets

from aidpost_device.store.records import Person

_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def new_pseudonym() -> str:
    """Draw a person's pseudonym: random, so that nothing about the person can be computed from it."""
    return f"P-{_spell(secrets.token_bytes(10))}"


def study_code(person: Person, uid: str, sha256: str) -> str:
    """Name a study, the same on every box: a digest of the person's id and the study's UID.

    A scan without a study UID is a study of its own, named by its content, `sha256`. A UID is not guessable, so neither
    the UID nor the person's id can be found from the code.
    """
    parts = (person.issuer, person.local_id, uid) if uid else ("", "", sha256)
    content = "\0".join(("aidpost study 1", *parts)).encode("utf-8", "surrogatepass")
    return f"S-{_spell(hashlib.sha256(content).digest()[:10])}"


def _spell(content: bytes) -> str:  # 10 bytes → 16 letters in groups of four
    letters = base64.b32encode(content).decode("ascii").translate(_CROCKFORD)
    return "-".join(letters[place : place + 4] for place in range(0, len(letters), 4))
