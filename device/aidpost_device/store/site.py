"""The site's settings: thresholds and prevalences with author, reason and date. A later row takes an earlier's place.

A withdrawal is a row too. Each change is recorded together with its row of the audit trail.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from aidpost_device.bundle.variant import Abstention, OperatingPoint
from aidpost_device.calibration.programme import Programme
from aidpost_device.in_force import SitePrevalence, SiteSettings, SiteThreshold
from aidpost_device.store.audit import append_audit
from aidpost_device.store.connection import insert


def site_settings(connection: sqlite3.Connection) -> SiteSettings:
    """Give what is set and not withdrawn."""
    prevalences = (
        SitePrevalence(author=author, reason=reason, at=at, bundle=bundle, finding=finding, prevalence=prevalence)
        for author, reason, at, bundle, finding, prevalence in connection.execute(_PREVALENCES)
    )
    return SiteSettings(tuple(map(_threshold, connection.execute(_THRESHOLDS))), tuple(prevalences))


def _threshold(line: tuple[Any, ...]) -> SiteThreshold:
    author, reason, at, bundle_sha256, variant, finding, threshold, abstention, measured, programme = line
    return SiteThreshold(
        author=author,
        reason=reason,
        at=at,
        bundle_sha256=bundle_sha256,
        variant=variant,
        finding=finding,
        threshold=threshold,
        abstention=_read(abstention, Abstention),
        measured=_read(measured, OperatingPoint),
        programme=_read(programme, Programme),
    )


def put_setting(connection: sqlite3.Connection, setting: SiteThreshold | SitePrevalence) -> None:
    """Set a threshold or a prevalence."""
    if isinstance(setting, SiteThreshold):
        measured = setting.measured
        _put_threshold(connection, setting, setting.threshold)
        details: dict[str, object] = {"threshold": setting.threshold, "abstention": setting.abstention}
        if measured is not None:
            details |= {"positives": measured.positives, "negatives": measured.negatives}
        if setting.programme is not None:
            details["programme"] = setting.programme
        _audit(connection, setting, "threshold-set", details)
    else:
        _put_prevalence(connection, setting, setting.prevalence)
        _audit(connection, setting, "prevalence-set", {"prevalence": setting.prevalence})


def withdraw_setting(connection: sqlite3.Connection, setting: SiteThreshold | SitePrevalence) -> None:
    """Return to the bundle's own threshold or probability; `setting` says which one is withdrawn, by whom and why."""
    if isinstance(setting, SiteThreshold):
        _put_threshold(connection, setting, None)
        _audit(connection, setting, "threshold-withdrawn", {})
    else:
        _put_prevalence(connection, setting, None)
        _audit(connection, setting, "prevalence-withdrawn", {})


def _put_threshold(connection: sqlite3.Connection, setting: SiteThreshold, threshold: float | None) -> None:
    withdrawn = threshold is None
    insert(
        connection,
        "INSERT INTO site_threshold (at, author, reason, bundle_sha256, variant, finding, threshold, abstention, "
        "measured, programme) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(setting.at, setting.author, setting.reason, setting.bundle_sha256, setting.variant, setting.finding),
        threshold,
        *(None if withdrawn else _write(value) for value in (setting.abstention, setting.measured, setting.programme)),
    )


def _put_prevalence(connection: sqlite3.Connection, setting: SitePrevalence, prevalence: float | None) -> None:
    insert(
        connection,
        "INSERT INTO site_prevalence (at, author, reason, bundle, finding, prevalence) VALUES (?, ?, ?, ?, ?, ?)",
        *(setting.at, setting.author, setting.reason, setting.bundle, setting.finding, prevalence),
    )


def _audit(
    connection: sqlite3.Connection,
    setting: SiteThreshold | SitePrevalence,
    action: str,
    details: dict[str, object],
) -> None:
    """Record a change with what it is tied to and why it was made."""
    if isinstance(setting, SiteThreshold):
        details |= {"bundle_sha256": setting.bundle_sha256, "variant": setting.variant}
    else:
        details |= {"bundle": setting.bundle}
    details |= {"reason": setting.reason}
    append_audit(connection, setting.at, setting.author, action, f"finding {setting.finding}", details)


def _write(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value, order="sorted").decode()


def _read(text: str | None, kind: type[Any]) -> Any:
    return None if text is None else msgspec.json.decode(text, type=kind)


_THRESHOLDS = """
SELECT author, reason, at, bundle_sha256, variant, finding, threshold, abstention, measured, programme
FROM site_threshold
WHERE threshold IS NOT NULL AND id IN (SELECT max(id) FROM site_threshold GROUP BY bundle_sha256, variant, finding)
ORDER BY id"""

_PREVALENCES = """
SELECT author, reason, at, bundle, finding, prevalence FROM site_prevalence
WHERE prevalence IS NOT NULL AND id IN (SELECT max(id) FROM site_prevalence GROUP BY bundle, finding)
ORDER BY id"""
