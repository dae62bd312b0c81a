"""The steps that make today's schema. A step that was shipped is never edited; a change is a new step at the end.

Identifying data stand apart, in `identity` alone. Everything else knows a person by a pseudonym. Paths are kept as
bytes, because file names need not be UTF-8.
"""

from __future__ import annotations

from aidpost_device.store.migrations import Step
from aidpost_device.store.previews import TABLE as PREVIEW_TABLE

_PEOPLE = (
    """
    CREATE TABLE person (
        id INTEGER PRIMARY KEY,
        pseudonym TEXT NOT NULL UNIQUE
    ) STRICT""",
    """
    CREATE TABLE identity (
        person_id INTEGER PRIMARY KEY REFERENCES person (id),
        issuer TEXT NOT NULL,
        local_id TEXT NOT NULL,
        name TEXT NOT NULL,
        birth_date TEXT NOT NULL
    ) STRICT""",
    "CREATE UNIQUE INDEX identity_by_local_id ON identity (issuer, local_id) WHERE local_id <> ''",
    """
    CREATE TABLE study (
        id INTEGER PRIMARY KEY,
        person_id INTEGER NOT NULL REFERENCES person (id),
        code TEXT NOT NULL UNIQUE,
        uid TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX study_by_person ON study (person_id)",
    """
    CREATE TABLE scan (
        id INTEGER PRIMARY KEY,
        study_id INTEGER NOT NULL REFERENCES study (id),
        sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
        size_bytes INTEGER NOT NULL,
        modality TEXT NOT NULL,
        view TEXT NOT NULL,
        body_part TEXT NOT NULL,
        sop_uid TEXT NOT NULL,
        age_years REAL,
        sex TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX scan_by_study ON scan (study_id)",
)

_READINGS = (
    """
    CREATE TABLE reading (
        id INTEGER PRIMARY KEY,
        scan_id INTEGER NOT NULL REFERENCES scan (id),
        bundle_sha256 TEXT NOT NULL,
        settings_sha256 TEXT NOT NULL,
        bundle TEXT NOT NULL,
        bundle_version TEXT NOT NULL,
        variant TEXT NOT NULL,
        model_sha256 TEXT NOT NULL,
        decoder TEXT NOT NULL,
        milliseconds REAL NOT NULL,
        program TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (scan_id, bundle_sha256, settings_sha256)
    ) STRICT""",
    """
    CREATE TABLE reading_finding (
        reading_id INTEGER NOT NULL REFERENCES reading (id),
        position INTEGER NOT NULL,
        label TEXT NOT NULL,
        probability REAL NOT NULL CHECK (probability BETWEEN 0 AND 1),
        threshold REAL NOT NULL,
        word TEXT NOT NULL CHECK (word IN ('REFER', 'CLEAR', 'REPEAT', 'UNSURE')),
        reasons TEXT NOT NULL,
        PRIMARY KEY (reading_id, position)
    ) STRICT, WITHOUT ROWID""",
)

_SCREENINGS = (
    """
    CREATE TABLE rejection (
        id INTEGER PRIMARY KEY,
        sha256 TEXT,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        hint TEXT NOT NULL,
        milliseconds REAL NOT NULL,
        program TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT""",
    """
    CREATE TABLE screening (
        id INTEGER PRIMARY KEY,
        output BLOB NOT NULL,
        sources_sha256 TEXT NOT NULL,
        bundle_sha256 TEXT NOT NULL,
        settings_sha256 TEXT NOT NULL,
        program TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT
    ) STRICT""",
    """
    CREATE TABLE item (
        screening_id INTEGER NOT NULL REFERENCES screening (id),
        path BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        scan_id INTEGER REFERENCES scan (id),
        rejection_id INTEGER REFERENCES rejection (id),
        PRIMARY KEY (screening_id, path),
        CHECK ((scan_id IS NULL) <> (rejection_id IS NULL))
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX item_by_path ON item (path, size_bytes, mtime_ns) WHERE scan_id IS NOT NULL",
)

_AUDIT = """
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        author TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        details TEXT NOT NULL,
        previous_sha256 TEXT NOT NULL UNIQUE CHECK (length(previous_sha256) = 64),
        sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64)
    ) STRICT"""

_SITE = (
    """
    CREATE TABLE site_threshold (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT NOT NULL,
        bundle_sha256 TEXT NOT NULL CHECK (length(bundle_sha256) = 64),
        variant TEXT NOT NULL,
        finding TEXT NOT NULL,
        threshold REAL CHECK (threshold BETWEEN 0 AND 1),
        abstention TEXT,
        measured TEXT,
        programme TEXT
    ) STRICT""",
    """
    CREATE TABLE site_prevalence (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        author TEXT NOT NULL,
        reason TEXT NOT NULL,
        bundle TEXT NOT NULL,
        finding TEXT NOT NULL,
        prevalence REAL CHECK (prevalence > 0 AND prevalence < 1)
    ) STRICT""",
    """
    CREATE TABLE outcome (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        author TEXT NOT NULL,
        study_id INTEGER NOT NULL REFERENCES study (id),
        finding TEXT NOT NULL,
        positive INTEGER NOT NULL CHECK (positive IN (0, 1)),
        source_sha256 TEXT NOT NULL CHECK (length(source_sha256) = 64)
    ) STRICT""",
    "CREATE INDEX outcome_by_study ON outcome (study_id, finding)",
)
"""A threshold or a prevalence that is NULL was withdrawn by that row."""


def _append_only(table: str, key: str) -> tuple[str, ...]:
    """Refuse every change of a table's rows; also REPLACE, which would delete a row without asking a trigger."""
    refusal = f"SELECT RAISE(ABORT, '{table} is append-only')"
    duplicate = f"SELECT 1 FROM {table} WHERE {key}"  # noqa: S608 - our own names
    return (
        f"CREATE TRIGGER {table}_is_not_updated BEFORE UPDATE ON {table} BEGIN {refusal}; END",
        f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} BEGIN {refusal}; END",
        f"CREATE TRIGGER {table}_is_not_replaced BEFORE INSERT ON {table} WHEN EXISTS ({duplicate}) "
        f"BEGIN {refusal}; END",
    )


STEPS = (
    Step(
        "people, studies, scans, readings and screenings",
        1,
        (
            *_PEOPLE,
            *_READINGS,
            *_append_only(
                "reading",
                "id = NEW.id OR (scan_id, bundle_sha256, settings_sha256) = "
                "(NEW.scan_id, NEW.bundle_sha256, NEW.settings_sha256)",
            ),
            *_append_only("reading_finding", "(reading_id, position) = (NEW.reading_id, NEW.position)"),
            *_SCREENINGS,
        ),
    ),
    Step(
        "rejections belong to studies",
        1,
        (
            "ALTER TABLE rejection ADD COLUMN study_id INTEGER REFERENCES study (id)",
            "ALTER TABLE rejection ADD COLUMN film_lost INTEGER NOT NULL DEFAULT 0",
        ),
    ),
    Step(
        "where in the image, and the probability at the site's prevalence",
        1,
        (
            "ALTER TABLE reading_finding ADD COLUMN region TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE reading_finding ADD COLUMN local_probability REAL CHECK (local_probability BETWEEN 0 AND 1)",
        ),
    ),
    Step(
        "the audit trail, the site's settings and confirmed outcomes",
        4,  # a program that does not know the site's thresholds would decide by the bundle's
        (
            _AUDIT,
            *_append_only("audit", "id = NEW.id OR sha256 = NEW.sha256 OR previous_sha256 = NEW.previous_sha256"),
            *_SITE,
            *_append_only("site_threshold", "id = NEW.id"),
            *_append_only("site_prevalence", "id = NEW.id"),
            *_append_only("outcome", "id = NEW.id"),
        ),
    ),
    Step(
        "previews of bundles",
        1,
        (
            PREVIEW_TABLE,
            *_append_only("preview", "id = NEW.id"),
            "CREATE INDEX reading_by_bundle ON reading (bundle_sha256)",
        ),
    ),
)
