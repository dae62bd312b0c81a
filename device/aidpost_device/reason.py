"""Why a scan got its word: stable codes, with what was found and what the person can do now."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a word was given. The codes are stable; `text` and `hint` are for people."""

    BLANK = "blank"
    VIEW_NOT_ACCEPTED = "view-not-accepted"
    AGE_OUTSIDE = "age-outside"
    BETWEEN_LIMITS = "between-limits"
    AGE_UNKNOWN = "age-unknown"
    OTHER_SCAN = "other-scan"
    FILM_UNREADABLE = "film-unreadable"
    MODALITY_NOT_ACCEPTED = "modality-not-accepted"
    FOR_PROCESSING = "for-processing"
    UNLIKE_TRAINING = "unlike-training"
    UNDEREXPOSED = "underexposed"
    OVEREXPOSED = "overexposed"
    CROPPED = "cropped"
    ROTATED = "rotated"
    UPSIDE_DOWN = "upside-down"
    BLURRED = "blurred"
    LATERAL = "lateral"
    GLARE = "glare"
    PERSPECTIVE = "perspective"

    @property
    def text(self) -> str:
        """What was found, in plain English."""
        return _TEXTS[self][0]

    @property
    def hint(self) -> str:
        """What the person can do now."""
        return _TEXTS[self][1]


_TEXTS: dict[Reason, tuple[str, str]] = {
    Reason.BLANK: (
        "The image shows next to no contrast.",
        "Check the exposure and take the scan again.",
    ),
    Reason.VIEW_NOT_ACCEPTED: (
        "The view is not one that this model reads.",
        "Take the scan again in a view that the model accepts.",
    ),
    Reason.AGE_OUTSIDE: (
        "The person's age lies outside the ages that the model was proved for.",
        "A person must read this scan.",
    ),
    Reason.BETWEEN_LIMITS: (
        "The probability lies where the model cannot tell.",
        "A person must read this scan.",
    ),
    Reason.AGE_UNKNOWN: (
        "The header states no age, and the model was proved for certain ages only.",
        "Check that the person's age lies within the limits in the model card.",
    ),
    Reason.OTHER_SCAN: (
        "Another scan of this study, read in an earlier run, decides.",
        "Look the study up in the earlier report.",
    ),
    Reason.FILM_UNREADABLE: (
        "Another film of this study could not be read.",
        "Look for its file among the rejected ones and bring a sound copy, or let a person read it.",
    ),
    Reason.MODALITY_NOT_ACCEPTED: (
        "The file is not from a kind of machine that this model reads.",
        "Choose the bundle made for this modality, or leave such files out.",
    ),
    Reason.UNLIKE_TRAINING: (
        "The image is not like the scans that this model was taught on.",
        "If it is such a scan all the same, see that it is upright, sharp and whole; a person must read it. If it is "
        "not, take it out of the folder.",
    ),
    Reason.UNDEREXPOSED: (
        "The image is too bright: too little radiation reached the detector, or the photograph was overexposed.",
        "Of an X-ray, raise the exposure and take it again; of a photograph, take it again with less light.",
    ),
    Reason.OVEREXPOSED: (
        "The image is too dark: too much radiation reached the detector, or the photograph was underexposed.",
        "Of an X-ray, lower the exposure and take it again; of a photograph, take it again with more light.",
    ),
    Reason.CROPPED: (
        "A part of what should be on the image is cut off.",
        "Centre the person and open the collimator so that the whole region is on the image, then take it again.",
    ),
    Reason.ROTATED: (
        "The image is turned.",
        "Turn the image upright before it is sent, or take the scan again with the cassette straight.",
    ),
    Reason.UPSIDE_DOWN: (
        "The image stands upside down.",
        "Turn the image by half a turn and send it again.",
    ),
    Reason.BLURRED: (
        "The image is blurred.",
        "Ask the person to hold still and their breath, and take the scan again; of a film, hold the camera still.",
    ),
    Reason.LATERAL: (
        "The image looks like a view from the side; the model reads views from the front or the back.",
        "Take a frontal view.",
    ),
    Reason.GLARE: (
        "A reflection covers a part of the film.",
        "Switch the room's light and the flash off and take the photograph of the film again.",
    ),
    Reason.PERSPECTIVE: (
        "The film was photographed from an angle.",
        "Hold the camera straight in front of the film, its edges parallel to the picture's, and take it again.",
    ),
    Reason.FOR_PROCESSING: (
        "The image is the detector's raw one (FOR PROCESSING), not what a person would be shown.",
        'Send the image "for presentation" from its machine.',
    ),
}

RETAKES = (
    Reason.UNDEREXPOSED,
    Reason.OVEREXPOSED,
    Reason.CROPPED,
    Reason.ROTATED,
    Reason.UPSIDE_DOWN,
    Reason.BLURRED,
    Reason.LATERAL,
    Reason.GLARE,
    Reason.PERSPECTIVE,
)
"""Reasons that a bundle's quality checks may give."""
