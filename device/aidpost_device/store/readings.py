"""Readings, which are only ever added, and rejections."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from aidpost_device import __version__
from aidpost_device.decision import FindingDecision
from aidpost_device.store.connection import insert
from aidpost_device.store.people import ensure_scan, ensure_study
from aidpost_device.store.records import Reading, ReadingKey, Rejection


def reading_id(connection: sqlite3.Connection, key: ReadingKey, sha256: str) -> int | None:
    """Find the reading of a content with this key."""
    found = connection.execute(
        "SELECT reading.id FROM reading JOIN scan ON scan.id = reading.scan_id "
        "WHERE scan.sha256 = ? AND (bundle_sha256, settings_sha256) = (?, ?)",
        (sha256, key.bundle_sha256, key.settings_sha256),
    ).fetchone()
    return None if found is None else int(found[0])


def put_reading(connection: sqlite3.Connection, key: ReadingKey, reading: Reading) -> int:
    """Add a reading and return its scan's id. A content that has a reading with this key keeps the one it has."""
    scan = ensure_scan(connection, reading.scan)
    if reading_id(connection, key, reading.scan.sha256) is not None:
        return scan
    model = reading.model
    made = insert(
        connection,
        "INSERT INTO reading (scan_id, bundle_sha256, settings_sha256, bundle, bundle_version, variant, model_sha256, "
        "decoder, milliseconds, program, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        scan,
        key.bundle_sha256,
        key.settings_sha256,
        model.bundle,
        model.bundle_version,
        model.variant,
        model.sha256,
        reading.decoder,
        reading.milliseconds,
        __version__,
        now(),
    )
    connection.executemany(
        "INSERT INTO reading_finding (reading_id, position, label, probability, threshold, word, reasons, region, "
        "local_probability) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(made, place, *_columns(found)) for place, found in enumerate(reading.findings)],
    )
    return scan


def _columns(found: FindingDecision) -> tuple[object, ...]:
    reasons = " ".join(found.reasons)
    return (
        found.label,
        found.probability,
        found.threshold,
        found.word,
        reasons,
        found.region,
        found.local_probability,
    )


def put_rejection(connection: sqlite3.Connection, rejection: Rejection) -> int:
    """Add a rejection and return its id; make its study where that is new."""
    study = ensure_study(connection, rejection.person, rejection.study_uid) if rejection.study_uid else None
    return insert(
        connection,
        "INSERT INTO rejection (study_id, film_lost, sha256, reason, message, hint, milliseconds, program, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        study,
        rejection.film_lost,
        rejection.sha256,
        rejection.reason,
        rejection.message,
        rejection.hint,
        rejection.milliseconds,
        __version__,
        now(),
    )


def now() -> str:
    """UTC, ISO 8601, for the record. Boards without a clock battery may be wrong; nothing is decided by it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
