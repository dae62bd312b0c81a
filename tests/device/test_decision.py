"""The decision as a table, at its boundaries, and what must hold whatever the numbers are."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan, nextafter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.bundle.manifest import AgeRange, Finding, ImageInput
from aidpost_device.bundle.variant import Abstention
from aidpost_device.decision import (
    BLANK_CONTRAST,
    Facts,
    FindingDecision,
    Word,
    decide_finding,
    decide_scan,
    decide_study,
    reject,
    would_vote,
)
from aidpost_device.errors import EngineError
from aidpost_device.in_force import InForce
from aidpost_device.quality import measure
from aidpost_device.reason import Reason

ACCEPTED = ImageInput(modalities=("CR", "DX"), views=("PA", "AP"), size=64, channels=1)
FINDING = Finding(label="pneumonia", names={"en": "Pneumonia"})
RULE = InForce(threshold=0.5, abstention=None)
GOOD = Facts(contrast=200, age=40.0, view="PA", modality="CR")
ADULTS = AgeRange(low=15, high=60)
DOUBT = Abstention(low=0.4, high=0.6, coverage=0.95, unsure=0.1, wanted=0.95, most=0.2)


@pytest.mark.parametrize(
    ("probability", "refers", "age", "abstention", "facts", "word", "reasons"),
    [
        # the operating point, inclusive
        (0.5, True, None, None, GOOD, Word.REFER, ()),
        (nextafter(0.5, 0), True, None, None, GOOD, Word.CLEAR, ()),
        (0.0, True, None, None, GOOD, Word.CLEAR, ()),
        (1.0, True, None, None, GOOD, Word.REFER, ()),
        (1.0, False, None, None, GOOD, Word.CLEAR, ()),
        # abstention, strictly between
        (0.4, True, None, DOUBT, GOOD, Word.CLEAR, ()),
        (nextafter(0.4, 1), True, None, DOUBT, GOOD, Word.UNSURE, (Reason.BETWEEN_LIMITS,)),
        (0.5, True, None, DOUBT, GOOD, Word.UNSURE, (Reason.BETWEEN_LIMITS,)),
        (nextafter(0.6, 0), True, None, DOUBT, GOOD, Word.UNSURE, (Reason.BETWEEN_LIMITS,)),
        (0.6, True, None, DOUBT, GOOD, Word.REFER, ()),
        # age in completed years, both ends included
        (0.9, True, ADULTS, None, replace(GOOD, age=15.0), Word.REFER, ()),
        (0.9, True, ADULTS, None, replace(GOOD, age=14.99), Word.UNSURE, (Reason.AGE_OUTSIDE,)),
        (0.1, True, ADULTS, None, replace(GOOD, age=60.99), Word.CLEAR, ()),
        (0.1, True, ADULTS, None, replace(GOOD, age=61.0), Word.UNSURE, (Reason.AGE_OUTSIDE,)),
        # an unknown age is stated and changes nothing; without a limit it is not even stated
        (0.9, True, ADULTS, None, replace(GOOD, age=None), Word.REFER, (Reason.AGE_UNKNOWN,)),
        (0.1, True, ADULTS, None, replace(GOOD, age=None), Word.CLEAR, (Reason.AGE_UNKNOWN,)),
        (0.1, True, None, None, replace(GOOD, age=None), Word.CLEAR, ()),
        # the view, where the header states one
        (0.9, True, None, None, replace(GOOD, view="LL"), Word.REPEAT, (Reason.VIEW_NOT_ACCEPTED,)),
        (0.9, True, None, None, replace(GOOD, view=" pa "), Word.REFER, ()),
        (0.9, True, None, None, replace(GOOD, view=""), Word.REFER, ()),
        # blank
        (0.9, True, None, None, replace(GOOD, contrast=BLANK_CONTRAST - 1), Word.REPEAT, (Reason.BLANK,)),
        (0.9, True, None, None, replace(GOOD, contrast=BLANK_CONTRAST), Word.REFER, ()),
        # everything at once: to be repeated first, every reason stated
        (
            0.5,
            True,
            ADULTS,
            DOUBT,
            Facts(contrast=0, age=3.0, view="LL", modality="CR"),
            Word.REPEAT,
            (Reason.BLANK, Reason.VIEW_NOT_ACCEPTED, Reason.AGE_OUTSIDE, Reason.BETWEEN_LIMITS),
        ),
    ],
)
def test_a_finding_is_decided(
    probability: float,
    refers: bool,
    age: AgeRange | None,
    abstention: Abstention | None,
    facts: Facts,
    word: Word,
    reasons: tuple[Reason, ...],
) -> None:
    finding = msgspec.structs.replace(FINDING, refers=refers, age=age)
    rule = msgspec.structs.replace(RULE, abstention=abstention)
    decision = decide_finding(finding, rule, probability, facts, ACCEPTED)
    assert (decision.word, decision.reasons) == (word, reasons)
    assert (decision.probability, decision.threshold) == (probability, 0.5)


@pytest.mark.parametrize("probability", [nan, inf, -0.001, 1.001])
def test_what_is_no_probability_is_never_decided(probability: float) -> None:
    with pytest.raises(EngineError, match="no probability"):
        decide_finding(FINDING, RULE, probability, GOOD, ACCEPTED)


@pytest.mark.parametrize(
    ("modality", "modalities", "reason"),
    [
        ("CR", ("CR", "DX"), None),
        ("cr", ("CR", "DX"), None),
        ("MR", ("CR", "DX"), Reason.MODALITY_NOT_ACCEPTED),
        ("MR", (), None),
        ("", ("CR", "DX"), None),
    ],
)
def test_a_file_of_another_modality_is_rejected(
    modality: str, modalities: tuple[str, ...], reason: Reason | None
) -> None:
    accepted = msgspec.structs.replace(ACCEPTED, modalities=modalities)
    assert reject(replace(GOOD, modality=modality), accepted) is reason


def given_words(*words: Word) -> list[FindingDecision]:
    return [FindingDecision("pneumonia", 0.5, 0.5, word) for word in words]


def for_reasons(*reasons: Reason) -> list[FindingDecision]:
    return [FindingDecision("pneumonia", 0.9, 0.5, Word.REPEAT, reasons)]


@pytest.mark.parametrize(
    ("intent", "reason"),
    [("FOR PROCESSING", Reason.FOR_PROCESSING), ("for processing ", Reason.FOR_PROCESSING), ("FOR PRESENTATION", None)],
)
def test_a_raw_image_is_rejected(intent: str, reason: Reason | None) -> None:
    assert reject(replace(GOOD, intent=intent), ACCEPTED) is reason


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ([Word.CLEAR], Word.CLEAR),
        ([Word.CLEAR, Word.UNSURE], Word.UNSURE),
        ([Word.CLEAR, Word.UNSURE, Word.REFER], Word.REFER),
        ([Word.CLEAR, Word.UNSURE, Word.REFER, Word.REPEAT], Word.REPEAT),
    ],
)
def test_a_scan_is_decided_by_precedence(words: list[Word], word: Word) -> None:
    assert decide_scan(given_words(*words)) is word
    assert decide_scan(given_words(*reversed(words))) is word


LATERAL = for_reasons(Reason.VIEW_NOT_ACCEPTED, Reason.AGE_OUTSIDE)
BLANK = for_reasons(Reason.BLANK)
BLANK_LATERAL = for_reasons(Reason.BLANK, Reason.VIEW_NOT_ACCEPTED)
CLEAR, UNSURE, REFER = ([*given_words(Word.CLEAR, word)] for word in (Word.CLEAR, Word.UNSURE, Word.REFER))


@pytest.mark.parametrize(
    ("scans", "word"),
    [
        ([CLEAR], Word.CLEAR),
        ([CLEAR, UNSURE], Word.UNSURE),
        ([CLEAR, UNSURE, BLANK], Word.REPEAT),
        ([CLEAR, UNSURE, BLANK, REFER], Word.REFER),
        # a film in another view says nothing beside one that is read, and that there is none without
        ([CLEAR, LATERAL], Word.CLEAR),
        ([UNSURE, LATERAL], Word.UNSURE),
        ([REFER, LATERAL], Word.REFER),
        ([LATERAL], Word.REPEAT),
        ([LATERAL, LATERAL], Word.REPEAT),
        ([CLEAR, BLANK_LATERAL], Word.REPEAT),
        ([LATERAL, BLANK], Word.REPEAT),
        ([LATERAL, BLANK_LATERAL], Word.REPEAT),
    ],
)
def test_a_study_is_decided_by_precedence(scans: list[list[FindingDecision]], word: Word) -> None:
    assert decide_study(scans) is word
    assert decide_study(reversed(scans)) is word


@given(st.lists(st.sampled_from([CLEAR, UNSURE, REFER, BLANK]), min_size=1))
def test_a_study_that_lacks_a_film_is_never_clear(scans: list[list[FindingDecision]]) -> None:
    word = decide_study(scans)
    assert decide_study(scans, film_lost=True) is (Word.UNSURE if word is Word.CLEAR else word)


@pytest.mark.parametrize(
    ("facts", "votes"),
    [
        (GOOD, True),
        (Facts(contrast=0), True),
        (replace(GOOD, view="LL"), False),
        (replace(GOOD, modality="MR"), False),
    ],
)
def test_what_the_model_does_not_read_is_no_lost_film(facts: Facts, votes: bool) -> None:
    assert would_vote(facts, ACCEPTED) is votes


@pytest.mark.parametrize(
    "scans", [[], [[]], [CLEAR, []], [given_words(Word.REJECTED)], [CLEAR, given_words(Word.REJECTED)]]
)
def test_a_study_without_findings_is_never_clear(scans: list[list[FindingDecision]]) -> None:
    with pytest.raises(ValueError, match="comes from the words of findings"):
        decide_study(scans)


SCANS = st.sampled_from([CLEAR, UNSURE, REFER, LATERAL, BLANK, BLANK_LATERAL])


@given(st.lists(SCANS))
def test_whom_one_scan_refers_is_referred_whatever_the_others_are(scans: list[list[FindingDecision]]) -> None:
    assert decide_study([*scans, REFER]) is Word.REFER


@given(st.lists(SCANS, min_size=1), st.lists(SCANS))
def test_more_scans_never_soften_a_study_that_has_a_view_that_is_read(
    scans: list[list[FindingDecision]], more: list[list[FindingDecision]]
) -> None:
    order = [Word.CLEAR, Word.UNSURE, Word.REPEAT, Word.REFER]
    scans = [CLEAR, *scans]
    assert order.index(decide_study(scans + more)) >= order.index(decide_study(scans))


@given(st.lists(SCANS, min_size=1))
def test_a_study_is_clear_only_if_everything_that_votes_is(scans: list[list[FindingDecision]]) -> None:
    clear = CLEAR in scans and all(scan in (CLEAR, LATERAL) for scan in scans)
    assert (decide_study(scans) is Word.CLEAR) == clear


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 255), st.one_of(st.none(), st.floats(0, 130)))
def test_a_higher_probability_never_turns_refer_into_clear(
    one: float, other: float, contrast: int, age: float | None
) -> None:
    finding = msgspec.structs.replace(FINDING, age=ADULTS)
    facts = replace(GOOD, contrast=contrast, age=age)
    low, high = (
        decide_finding(finding, RULE, probability, facts, ACCEPTED).word for probability in sorted((one, other))
    )
    assert not (low is Word.REFER and high is Word.CLEAR)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_text_and_a_hint(reason: Reason) -> None:
    assert reason.text.endswith(".")
    assert reason.hint.endswith(".")
    assert "diagnos" not in (reason.text + reason.hint).lower()


def picture(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width, 1), level, np.uint8)


def test_contrast_leaves_out_borders_and_specks() -> None:
    even = picture(100, 100, 0)
    even[20:80] = 128
    assert measure(even).contrast == 0
    even[50, 50] = 255
    assert measure(even).contrast == 0
    even[40:60, 40:60] = 178
    assert measure(even).contrast == 50
    assert measure(picture(64, 64, 0)).contrast == 0
    assert measure(picture(64, 64, 255)).contrast == 0


def test_contrast_in_one_colour_is_contrast() -> None:
    colour = np.repeat(picture(64, 64, 90), 3, axis=2)
    assert measure(colour).contrast == 0
    colour[:32, :, 2] = 200
    assert measure(colour).contrast == 110
