"""What is put into the store: who, what was scanned, what was read of it or why it was not."""

from __future__ import annotations

from dataclasses import dataclass

from aidpost_device.decision import FindingDecision


@dataclass(frozen=True)
class Person:
    """Who a scan is of, as its header says. Identifying: it reaches the table `identity` and nothing else."""

    issuer: str = ""
    """Who gave out the local id, DICOM Issuer of Patient ID (0010,0021)."""
    local_id: str = ""
    """DICOM Patient ID (0010,0020); empty where the header states none."""
    name: str = ""
    birth_date: str = ""
    """ISO 8601, empty where unknown."""


@dataclass(frozen=True)
class Scan:
    """One scan by its content, with the header facts that decisions and reports need."""

    sha256: str
    size_bytes: int
    person: Person = Person()
    study_uid: str = ""
    """DICOM Study Instance UID (0020,000D); empty where there is none: the scan is then a study of its own."""
    sop_uid: str = ""
    modality: str = ""
    view: str = ""
    body_part: str = ""
    age_years: float | None = None
    sex: str = ""
    """"F", "M", "O" or empty."""


@dataclass(frozen=True)
class ReadingKey:
    """Beside the content, what a reading is unique for: the bundle and the settings of the decision."""

    bundle_sha256: str
    settings_sha256: str


@dataclass(frozen=True)
class Model:
    """Which graph of which bundle read a scan."""

    bundle: str
    bundle_version: str
    variant: str
    sha256: str
    """Digest of the ONNX graph."""


@dataclass(frozen=True)
class Reading:
    """What one bundle made of one scan."""

    scan: Scan
    model: Model
    decoder: str
    milliseconds: float
    """Time to read, decode, prepare and infer this scan."""
    findings: tuple[FindingDecision, ...]


@dataclass(frozen=True)
class Known:
    """A file whose content was read before with the same key."""

    sha256: str


@dataclass(frozen=True)
class Rejection:
    """Why a file was not read."""

    reason: str
    """Short stable code."""
    message: str
    hint: str
    milliseconds: float
    sha256: str | None = None
    """Digest of the content; None where it could not be read to its end."""
    person: Person = Person()
    study_uid: str = ""
    """DICOM Study Instance UID (0020,000D) of the study it belongs to; empty where that is not known."""
    film_lost: bool = False
    """Whether its study lacks a film because this file was not read."""


@dataclass(frozen=True)
class Stamp:
    """A file as it stood when it was listed or read: the same stamp again means that it was not changed."""

    path: bytes
    """Absolute; bytes, because file names need not be UTF-8."""
    size_bytes: int
    mtime_ns: int
    """Time of the last change, nanoseconds since 1970."""


@dataclass(frozen=True)
class Item:
    """One file of a screening and what became of it."""

    stamp: Stamp
    outcome: Reading | Known | Rejection
