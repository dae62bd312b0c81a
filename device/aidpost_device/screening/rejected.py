"""Files that were not read: their record, and whether their study lacks a film for it."""

from __future__ import annotations

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decision import Facts, would_vote
from aidpost_device.decode.image import Header
from aidpost_device.decode.reason import Reason
from aidpost_device.decode.result import PreparedScan, RejectedScan
from aidpost_device.store.records import Person, Rejection

NO_FILM = frozenset({Reason.NOT_A_FILE, Reason.NOT_AN_IMAGE, Reason.NO_PIXELS})
"""Reasons of files that hold no film of their own, such as the report that machines send as well."""


def person_of(header: Header) -> Person:
    """Say who a header is about."""
    return Person(
        issuer=header.issuer or "",
        local_id=header.patient_id or "",
        name=header.patient_name or "",
        birth_date=header.birth_date or "",
    )


def describe(
    scan: PreparedScan | RejectedScan, reason: str, message: str, hint: str, accepted: ImageInput
) -> Rejection:
    """Make the record of a file that was not read. It belongs to its study as far as its header could be read."""
    header = scan.header or Header()
    facts = Facts(contrast=0, view=header.view or "", modality=header.modality or "", intent=header.intent or "")
    return Rejection(
        reason,
        message,
        hint,
        scan.milliseconds,
        scan.sha256,
        person=person_of(header),
        study_uid=header.study_uid or "",
        film_lost=reason not in NO_FILM and would_vote(facts, accepted),
    )
