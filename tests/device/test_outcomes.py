"""Files of outcomes: what is read, what is refused with its row, and which probability counts for a study."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.threshold import choose_threshold
from aidpost_device.decision import Word
from aidpost_device.errors import CalibrationError, OutcomeError
from aidpost_device.outcomes.calibrate import calibrate, partial_verification, verified
from aidpost_device.outcomes.match import Case, Matched, match
from aidpost_device.outcomes.table import SHOWN, Fault, OutcomeTable, Question, read_outcomes, refuse
from aidpost_device.reason import Reason
from aidpost_device.store.outcomes import ScoredScan

from . import bundles

ONE = Question("opacity", ("opacity",), exclusive=False)
SEVERAL = Question("opacity", ("opacity", "nodule"), exclusive=False)
CLASSES = Question("opacity", ("opacity", "nodule", "normal"), exclusive=True)
HERE = Path("/disk")


def scan(content: str, study: str, probability: float = 0.5, **more: object) -> ScoredScan:
    facts: dict[str, object] = {"person": f"P-{study}", "local_id": "", "age_years": None, "sex": ""}
    facts |= {"word": Word.CLEAR, "reasons": (), "paths": (f"/disk/{content}.png".encode(),), **more}
    return ScoredScan(study=study, sha256=content * 64, probability=probability, **facts)  # type: ignore[arg-type]


SCANS = [
    scan("a", "S-1", 0.9, local_id="17"),
    scan("b", "S-1", 0.3, local_id="17"),
    scan("c", "S-2", 0.2, local_id="18"),
    scan("d", "S-3", 0.6, local_id="18"),
    scan("e", "S-4", 0.7, paths=(b"/disk/caf\xe9.png",)),
]


def answers(text: str, question: Question = ONE) -> OutcomeTable:
    return read_outcomes(text.encode(), question)


def found(text: str, scans: list[ScoredScan] = SCANS) -> Matched:
    table = answers(text)
    assert table.faults == ()
    return match(table, scans, "toy 1.0.0, variant int8", HERE)


# ---- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "question", "positive"),
    [
        ("sha256,outcome\nx,positive\n", ONE, True),
        ("sha256,outcome\nx,Negative\n", ONE, False),
        ("sha256,outcome\nx,opacity\n", ONE, True),
        ("\ufeffStudy;Outcome\r\nx;positive\r\n", ONE, True),
        ('patient,note,outcome\nx,"a, b",negative\n', ONE, False),
        ("path,finding,outcome\nx,opacity,positive\n", SEVERAL, True),
        ("path,finding,outcome\nx,opacity,opacity\n", SEVERAL, True),
        ("path,outcome\nx,opacity\n", SEVERAL, True),
        ("path,outcome\nx,normal\n", CLASSES, False),
    ],
)
def test_an_answer_is_read(text: str, question: Question, positive: bool) -> None:
    table = answers(text, question)
    assert table.faults == ()
    assert [(row.row, row.value, row.positive) for row in table.rows] == [(2, "x", positive)]


def test_what_is_not_answered_or_about_another_finding_is_counted() -> None:
    table = answers("study,finding,outcome\na,opacity,\nb,nodule,positive\n\n,,\nc,opacity,positive\n", SEVERAL)
    assert (table.unanswered, table.others, len(table.rows), table.rows[0].row) == (1, 1, 1, 6)


def test_the_most_exact_column_is_used() -> None:
    assert answers("path,study,sha256,outcome\np,s,x,positive\n").rows[0].value == "x"
    assert answers("patient,path,outcome\n17,x,positive\n").rows[0].value == "x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no one of the columns sha256, study, path, patient; its heading is: empty"),
        (b"name,outcome\nx,positive\n", "no one of the columns sha256, study, path, patient"),
        (b"sha256,result\nx,positive\n", "no column outcome; its heading is: sha256, result"),
        (b"study,outcome,Outcome\nx,positive,negative\n", "several columns outcome"),
        (b"patient,patient,outcome\n1,2,positive\n", "several columns patient"),
        (b"sha256,outcome\nx,\xff\n", "not text in UTF-8"),
        (b'sha256,outcome\n"x,positive\n', "not CSV"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(OutcomeError, match=message) as caught:
        read_outcomes(content, ONE)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "question", "fault"),
    [
        ("sha256,outcome\nx,ill\n", ONE, "row 2: the outcome 'ill' is unknown. Write positive or negative"),
        ("sha256,outcome\n,positive\n", ONE, "row 2: its sha256 is empty. Fill it in"),
        ("sha256,outcome\nx,positive,again\n", ONE, "row 2: it has 3 cells, the heading has 2."),
        (
            "sha256,finding,outcome\nx,opacty,positive\n",
            SEVERAL,
            "row 2: the finding 'opacty' is unknown. The findings",
        ),
        ("sha256,outcome\nx,nodule\n", SEVERAL, "row 2: the outcome 'nodule' says nothing about 'opacity'. Write"),
        ("sha256,finding,outcome\nx,opacity,normal\n", CLASSES, "row 2: the outcome 'normal' says nothing about"),
    ],
)
def test_a_faulty_row_is_named_with_its_fix(text: str, question: Question, fault: str) -> None:
    (only,) = answers(text, question).faults
    assert str(only).startswith(fault)


def test_all_faults_are_collected_and_the_first_are_shown() -> None:
    table = answers("sha256,outcome\n" + "x,ill\n" * (SHOWN + 3))
    with pytest.raises(OutcomeError) as caught:
        refuse("found.csv", table.faults)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{SHOWN + 3} rows of found.csv cannot be used:"
    assert lines[1].startswith("  row 2: ")
    assert lines[-1] == "  … and 3 more"
    assert len(lines) == SHOWN + 2
    refuse("found.csv", ())


# ---- matching -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "study"),
    [
        ("sha256", "a" * 64, "S-1"),
        ("sha256", "A" * 64, "S-1"),
        ("study", "S-2", "S-2"),
        ("study", "s-2", "S-2"),
        ("patient", "17", "S-1"),
        ("path", "/disk/c.png", "S-2"),
        ("path", "c.png", "S-2"),
        ("path", "below/../c.png", "S-2"),
        ("path", r"/disk/caf\xe9.png", "S-4"),
    ],
)
def test_a_row_finds_its_study(column: str, value: str, study: str) -> None:
    assert found(f"{column},outcome\n{value},positive\n").answers == {study: True}


def test_the_highest_probability_of_a_study_counts_once() -> None:
    matched = found(f"sha256,outcome\n{'b' * 64},positive\n{'a' * 64},positive\n")
    assert [(case.study, case.probability, case.positive) for case in matched.cases] == [("S-1", 0.9, True)]


@pytest.mark.parametrize(
    "more", [{"word": Word.REPEAT}, {"word": Word.UNSURE, "reasons": (Reason.AGE_OUTSIDE, Reason.BETWEEN_LIMITS)}]
)
def test_a_scan_that_is_not_decided_by_its_probability_does_not_vote(more: dict[str, object]) -> None:
    films = [scan("a", "S-1", 0.9, **more), scan("b", "S-1", 0.3)]
    (case,) = found("study,outcome\nS-1,positive\n", films).cases
    assert case.probability == 0.3
    alone = found("study,outcome\nS-1,positive\n", films[:1])
    assert (alone.cases, alone.left_out, alone.answers) == ((), 1, {"S-1": True})


def test_the_file_may_say_whose_images_they_are() -> None:
    matched = found(f"sha256,patient,outcome\n{'a' * 64},17,positive\n{'c' * 64},17,positive\n{'d' * 64},,positive\n")
    assert [(case.study, case.person) for case in matched.cases] == [
        ("S-1", "in the file: 17"),
        ("S-2", "in the file: 17"),
        ("S-3", "P-S-3"),
    ]


def test_unsure_scans_vote() -> None:
    films = [scan("a", "S-1", 0.5, word=Word.UNSURE, reasons=(Reason.BETWEEN_LIMITS,))]
    assert len(found("study,outcome\nS-1,positive\n", films).cases) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"sha256,outcome\n{'f' * 64},positive\n",
            f"row 2: no scan with sha256 '{'f' * 64}' was read by toy 1.0.0, variant int8. Screen it first",
        ),
        ("patient,outcome\n18,positive\n", "row 2: patient '18' has 2 studies. Name the study by its code"),
        (
            f"sha256,outcome\n{'a' * 64},positive\n{'c' * 64},negative\n{'b' * 64},negative\n",
            f"row 4: sha256 '{'b' * 64}' has another outcome than row 2, of the same study S-1. Keep the row",
        ),
    ],
)
def test_a_row_without_its_one_study_is_refused(text: str, fault: str) -> None:
    (only,) = found(text).faults
    assert str(only).startswith(fault)


# ---- the site's threshold -------------------------------------------------------------------------------------------


def cases(present: int = 60, absent: int = 90, seed: int = 0) -> list[Case]:
    random = np.random.default_rng(seed)
    made = []
    for number in range(present + absent):
        positive = number < present
        score = float(np.float32(1 / (1 + np.exp(-random.normal(1.5 if positive else -1.5)))))
        made.append(Case(f"S-{number}", f"P-{number}", score, positive, 20.0 + number % 60, "FM"[number % 2]))
    return made


def numbers(coverage: float | None) -> object:
    own = bundles.numbers()
    band = (
        None
        if coverage is None
        else Abstention(low=0.3, high=0.6, coverage=0.6, unsure=0.1, wanted=coverage, most=0.25)
    )
    return msgspec.structs.replace(own, abstention=band)


def test_the_threshold_the_measurement_and_the_band_belong_together() -> None:
    some = cases()
    done = calibrate(some, numbers(0.95), Programme(prevalence=0.2), ("age", "sex"))  # type: ignore[arg-type]
    score, truth = np.array([one.probability for one in some]), np.array([one.positive for one in some])
    assert done.choice.threshold == choose_threshold(score, truth, 0.9) == done.measured.threshold
    assert (done.measured.positives, done.measured.negatives) == (60, 90)
    assert done.abstention is not None
    assert done.abstention.low <= done.choice.threshold <= done.abstention.high
    assert done.abstention.unsure <= 0.25
    assert "it says UNSURE" in done.band
    assert [(one.column, one.value) for one in done.strata][-2:] == [("sex", "F"), ("sex", "M")]


@pytest.mark.parametrize(("coverage", "said"), [(None, "The bundle sets no limits"), (0.999, "outcomes of 999 people")])
def test_without_a_band_that_is_said(coverage: float | None, said: str) -> None:
    done = calibrate(cases(), numbers(coverage), Programme(prevalence=0.2))  # type: ignore[arg-type]
    assert done.abstention is None
    assert said in done.band


def test_too_few_outcomes_are_refused() -> None:
    with pytest.raises(CalibrationError, match="confirmed outcomes are of 12 people with the finding and 90 without"):
        calibrate(cases(12), numbers(None), Programme(prevalence=0.2))  # type: ignore[arg-type]


def test_outcomes_of_the_flagged_alone_are_remarked() -> None:
    films = [scan(chr(97 + n), f"S-{n}", 0.1 * n) for n in range(10)]
    known = [Case(f"S-{n}", "P", 0.1 * n, True, None, "") for n in (6, 7, 8, 9)]
    flagged, others = verified(films, known, 0.5)
    assert (flagged.known, flagged.studies, others.known, others.studies) == (4, 5, 0, 5)
    assert partial_verification(flagged, others).startswith("Outcomes are known of 4 of 5 studies at or above")
    assert (
        partial_verification(
            *verified(films, [*known, *(Case(f"S-{n}", "P", 0, False, None, "") for n in (0, 1))], 0.5)
        )
        == ""
    )


def test_a_fault_says_row_text_and_fix() -> None:
    assert str(Fault(7, "it is empty", "Fill it in")) == "row 7: it is empty. Fill it in."
