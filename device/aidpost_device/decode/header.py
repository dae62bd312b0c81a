"""The header: what a DICOM file says of the person, the study and the machine. All of it is data from outside."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

from pydicom import Dataset

from aidpost_device.decode.element import text
from aidpost_device.decode.image import Header

STUDY_DATE, SERIES_DATE, ACQUISITION_DATE = 0x0008_0020, 0x0008_0021, 0x0008_0022
MODALITY, INTENT, MANUFACTURER, MACHINE = 0x0008_0060, 0x0008_0068, 0x0008_0070, 0x0008_1090
PATIENT_NAME, PATIENT_ID, ISSUER = 0x0010_0010, 0x0010_0020, 0x0010_0021
BIRTH_DATE, SEX, AGE = 0x0010_0030, 0x0010_0040, 0x0010_1010
BODY_PART, VIEW, LATERALITY, IMAGE_LATERALITY = 0x0018_0015, 0x0018_5101, 0x0020_0060, 0x0020_0062
SOP_UID, STUDY_UID, SERIES_UID = 0x0008_0018, 0x0020_000D, 0x0020_000E
TAGS = (
    *(STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, MODALITY, INTENT, MANUFACTURER, MACHINE),
    *(PATIENT_NAME, PATIENT_ID, ISSUER, BIRTH_DATE, SEX, AGE),
    *(BODY_PART, VIEW, LATERALITY, IMAGE_LATERALITY, SOP_UID, STUDY_UID, SERIES_UID),
)
"""Every element the header is read from."""

OLDEST = 130
"""Years. An age above it is an error of the file."""
_DAYS_PER_YEAR = 365.2425
_LONGEST_YEAR = 366
"""Days. No fraction of a year reaches 1."""
_AGE = re.compile(r"(\d{1,3})\s*([DWMY])", re.IGNORECASE)
_AGE_UNITS = {"D": 1 / _DAYS_PER_YEAR, "W": 7 / _DAYS_PER_YEAR, "M": 1 / 12, "Y": 1.0}
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_DATE = re.compile(r"(\d{4})[-.]?(\d{2})[-.]?(\d{2})")


def read_header(dataset: Dataset) -> Header:
    """Read the header. Never raises: what is absent or unusable is None."""
    born = _date(dataset, BIRTH_DATE)
    study = _date(dataset, STUDY_DATE) or _date(dataset, SERIES_DATE) or _date(dataset, ACQUISITION_DATE)
    return Header(
        modality=_code(dataset, MODALITY),
        intent=_code(dataset, INTENT),
        view=_code(dataset, VIEW),
        body_part=_code(dataset, BODY_PART),
        laterality=_code(dataset, IMAGE_LATERALITY) or _code(dataset, LATERALITY),
        study_uid=_uid(dataset, STUDY_UID),
        series_uid=_uid(dataset, SERIES_UID),
        sop_uid=_uid(dataset, SOP_UID),
        patient_id=text(dataset, PATIENT_ID),
        issuer=text(dataset, ISSUER),
        patient_name=text(dataset, PATIENT_NAME, 192),
        sex=_sex(_code(dataset, SEX)),
        birth_date=born.isoformat() if born else None,
        study_date=study.isoformat() if study else None,
        age=age_between(born, study) if (stated := stated_age(text(dataset, AGE, 8))) is None else stated,
        manufacturer=text(dataset, MANUFACTURER),
        machine=text(dataset, MACHINE),
    )


def stated_age(age: str | None) -> float | None:
    """Read an Age String (`045Y`, `006M`, `03W`, `010D`) as years in [0, 130], None when it is none."""
    match = _AGE.fullmatch(age or "")
    if match is None:
        return None
    years = int(match[1]) * _AGE_UNITS[match[2].upper()]
    return years if years <= OLDEST else None


def age_between(born: date | None, study: date | None) -> float | None:
    """Years from birth to the study in [0, 130], None when either is unknown or they contradict each other.

    Completed years are counted by the calendar, as limits of age are; the rest is a fraction of a year.
    """
    if born is None or study is None or study < born:
        return None
    completed = study.year - born.year - (study < _birthday(born, study.year))
    years = completed + (study - _birthday(born, born.year + completed)).days / _LONGEST_YEAR
    return years if years <= OLDEST else None


def _birthday(born: date, year: int) -> date:
    """Return the birthday in a year. Who was born on 29 February has it on 1 March where there is none."""
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def _code(dataset: Dataset, tag: int) -> str | None:
    found = text(dataset, tag, 16)
    return found and found.upper()


def _uid(dataset: Dataset, tag: int) -> str | None:
    found = text(dataset, tag, 65)
    return found if found and len(found) <= 64 and _UID.fullmatch(found) else None


def _sex(code: str | None) -> Literal["F", "M", ""]:
    return "F" if code == "F" else "M" if code == "M" else ""


def _date(dataset: Dataset, tag: int) -> date | None:
    match = _DATE.fullmatch(text(dataset, tag, 10) or "")
    try:
        return match and date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
