"""Finding, or making, the person, the study and the scan that a reading belongs to."""

from __future__ import annotations

import sqlite3

from aidpost_device.store.connection import insert
from aidpost_device.store.pseudonym import new_pseudonym, study_code
from aidpost_device.store.records import Person, Scan


def scan_id(connection: sqlite3.Connection, sha256: str) -> int | None:
    """Find a scan by its content."""
    found = connection.execute("SELECT id FROM scan WHERE sha256 = ?", (sha256,)).fetchone()
    return None if found is None else int(found[0])


def ensure_scan(connection: sqlite3.Connection, scan: Scan) -> int:
    """Give the scan's id; make it, its study and its person where they are new."""
    found = scan_id(connection, scan.sha256)
    if found is not None:
        return found
    return insert(
        connection,
        "INSERT INTO scan (study_id, sha256, size_bytes, modality, view, body_part, sop_uid, age_years, sex) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ensure_study(connection, scan.person, scan.study_uid, scan.sha256),
        scan.sha256,
        scan.size_bytes,
        scan.modality,
        scan.view,
        scan.body_part,
        scan.sop_uid,
        scan.age_years,
        scan.sex,
    )


def ensure_study(connection: sqlite3.Connection, person: Person, uid: str, sha256: str = "") -> int:
    """Give the study's id; make it and its person where they are new. One without a UID is named by its content."""
    code = study_code(person, uid, sha256)
    found = connection.execute("SELECT id FROM study WHERE code = ?", (code,)).fetchone()
    if found is not None:
        return int(found[0])
    made = _ensure_person(connection, person)
    return insert(connection, "INSERT INTO study (person_id, code, uid) VALUES (?, ?, ?)", made, code, uid)


def _ensure_person(connection: sqlite3.Connection, person: Person) -> int:
    """People are the same when issuer and local id are; a person without a local id is the same as nobody."""
    if person.local_id:
        found = connection.execute(
            "SELECT person_id FROM identity WHERE issuer = ? AND local_id = ?", (person.issuer, person.local_id)
        ).fetchone()
        if found is not None:
            return int(found[0])
    made = insert(connection, "INSERT INTO person (pseudonym) VALUES (?)", new_pseudonym())
    if person != Person(issuer=person.issuer):
        connection.execute(
            "INSERT INTO identity (person_id, issuer, local_id, name, birth_date) VALUES (?, ?, ?, ?, ?)",
            (made, person.issuer, person.local_id, person.name, person.birth_date),
        )
    return made
