"""What a site sets: tied to its bundle and variant, chained in the audit trail, whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aidpost_device.bundle.variant import Abstention, Estimate, OperatingPoint
from aidpost_device.calibration.prior_shift import local_probability
from aidpost_device.calibration.programme import Programme
from aidpost_device.decision import Facts, FindingDecision, Word, decide_finding
from aidpost_device.errors import SettingError
from aidpost_device.in_force import (
    InForce,
    SitePrevalence,
    SiteSettings,
    SiteThreshold,
    fingerprint,
    in_force,
    prior_of,
    set_aside,
)
from aidpost_device.reason import Reason
from aidpost_device.screening.screen import Settings
from aidpost_device.store import store as store_module
from aidpost_device.store.audit import FIRST, AuditRow
from aidpost_device.store.outcomes import ConfirmedOutcome, OutcomeSource
from aidpost_device.store.pseudonym import study_code
from aidpost_device.store.records import Item, Model, Person, Reading, ReadingKey, Scan, Stamp
from aidpost_device.store.store import Store

from . import bundles

SHA = "b" * 64
AT = "2026-03-04T05:06:07+00:00"
BAND = Abstention(low=0.1, high=0.4, coverage=0.95, unsure=0.1, wanted=0.95, most=0.2)
HALF = Estimate(value=0.5, low=0.4, high=0.6)
POINT = OperatingPoint(
    threshold=0.3, target_sensitivity=0.9, sensitivity=HALF, specificity=HALF, positives=40, negatives=50
)
SET = SiteThreshold(
    author="Dr Amina",
    reason="fifteen tests a day",
    at=AT,
    bundle_sha256=SHA,
    variant="float",
    finding="opacity",
    threshold=0.3,
    abstention=BAND,
    measured=POINT,
    programme=Programme(prevalence=0.05, people_per_day=100, tests_per_day=15),
)
OTHER_VARIANT = msgspec.structs.replace(SET, variant="int8")
COMMON = SitePrevalence(author="Dr Amina", reason="survey", at=AT, bundle="toy", finding="opacity", prevalence=0.05)
MANIFEST = bundles.draft().manifest
FLOAT = next(one for one in MANIFEST.variants if one.name == "float")
SOURCE = OutcomeSource("Dr Amina", AT, "d" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as store:
        yield store


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found)


def rules(*settings: SiteThreshold | SitePrevalence) -> InForce:
    site = SiteSettings(
        tuple(one for one in settings if isinstance(one, SiteThreshold)),
        tuple(one for one in settings if isinstance(one, SitePrevalence)),
    )
    return in_force(MANIFEST, SHA, FLOAT, site)["opacity"]


# ---- what is in force -----------------------------------------------------------------------------------------------


def test_without_a_setting_the_bundle_s_own_numbers_hold() -> None:
    own = FLOAT.findings["opacity"]
    assert rules() == InForce(threshold=own.operating_point.threshold, abstention=own.abstention)
    assert fingerprint({"opacity": rules()}) == ()


@pytest.mark.parametrize(
    ("thresholds", "told"),
    [
        ((), False),
        ((SET,), False),
        ((OTHER_VARIANT,), True),
        ((OTHER_VARIANT, SET), False),
        ((msgspec.structs.replace(SET, variant="int8", bundle_sha256="c" * 64),), False),
    ],
)
def test_a_threshold_of_another_variant_is_not_left_out_in_silence(
    thresholds: tuple[SiteThreshold, ...], told: bool
) -> None:
    alarm = set_aside(MANIFEST, SHA, FLOAT, SiteSettings(thresholds))
    assert (alarm is not None) is told
    if alarm:
        assert "this site's threshold for opacity was set for variant int8 and is not used" in alarm


def test_a_setting_takes_the_place_of_threshold_and_band() -> None:
    rule = rules(SET, COMMON)
    assert (rule.threshold, rule.abstention, rule.threshold_by, rule.prevalence_by) == (0.3, BAND, SET, COMMON)
    assert (rule.prior, rule.prevalence) == (0.5, 0.05)


@pytest.mark.parametrize(
    "other",
    [
        {"bundle_sha256": "c" * 64},
        {"variant": "int8"},
        {"finding": "nodule"},
    ],
)
def test_a_threshold_of_another_bundle_variant_or_finding_is_never_used(other: dict[str, str]) -> None:
    assert rules(msgspec.structs.replace(SET, **other)) == rules()


@pytest.mark.parametrize("other", [{"bundle": "another"}, {"finding": "nodule"}])
def test_a_prevalence_of_another_bundle_or_finding_is_never_used(other: dict[str, str]) -> None:
    assert rules(msgspec.structs.replace(COMMON, **other)) == rules()


def test_readings_are_keyed_by_the_numbers_and_not_by_who_set_them() -> None:
    others = [
        rules(),
        rules(SET),
        rules(COMMON),
        rules(SET, COMMON),
        rules(msgspec.structs.replace(SET, threshold=0.31)),
        rules(msgspec.structs.replace(SET, abstention=None)),
        rules(msgspec.structs.replace(COMMON, prevalence=0.06)),
    ]
    assert len({fingerprint({"opacity": rule}) for rule in others}) == len(others)
    again = rules(msgspec.structs.replace(SET, author="Dr Musa", at="2027-01-01T00:00:00+00:00"))
    assert fingerprint({"opacity": again}) == fingerprint({"opacity": rules(SET)})


def test_readings_of_another_graph_are_other_readings() -> None:
    assert Settings("float").sha256 != Settings("int8").sha256
    assert Settings("float").sha256 == Settings("float", fingerprint({"opacity": rules()})).sha256


def test_a_prevalence_that_this_bundle_cannot_apply_is_refused() -> None:
    numbers = FLOAT.findings["opacity"]
    uncounted = msgspec.structs.replace(
        numbers, operating_point=msgspec.structs.replace(numbers.operating_point, positives=0)
    )
    assert prior_of(uncounted) is None
    variant = msgspec.structs.replace(FLOAT, findings={"opacity": uncounted})
    with pytest.raises(SettingError, match="how common 'opacity' was") as caught:
        in_force(MANIFEST, SHA, variant, SiteSettings((), (COMMON,)))
    assert "aidpost device prevalence --bundle toy --finding opacity --withdraw" in caught.value.hint


@pytest.mark.parametrize(
    ("probability", "word"), [(0.1, Word.CLEAR), (0.2, Word.UNSURE), (0.4, Word.REFER), (0.45, Word.REFER)]
)
def test_the_site_s_threshold_and_band_decide_and_both_probabilities_are_kept(probability: float, word: Word) -> None:
    finding, facts = MANIFEST.findings[0], Facts(contrast=200)
    found = decide_finding(finding, rules(SET, COMMON), probability, facts, bundles.SPEC)
    assert (found.word, found.threshold, found.probability) == (word, 0.3, probability)
    assert found.local_probability == local_probability(probability, 0.5, 0.05)
    assert decide_finding(finding, rules(SET), probability, facts, bundles.SPEC).local_probability is None


# ---- the record -----------------------------------------------------------------------------------------------------


def test_a_later_setting_takes_the_place_of_an_earlier_one_and_can_be_withdrawn(store: Store) -> None:
    later = msgspec.structs.replace(SET, threshold=0.4, abstention=None, measured=None, author="Dr Musa")
    other = msgspec.structs.replace(SET, variant="int8")
    for one in (SET, other, COMMON, later):
        store.put_setting(one)
    assert store.site_settings() == SiteSettings((other, later), (COMMON,))
    store.withdraw_setting(msgspec.structs.replace(SET, author="Dr Musa", reason="back"))
    store.withdraw_setting(COMMON)
    assert store.site_settings() == SiteSettings((other,), ())
    store.put_setting(COMMON)
    assert store.site_settings().prevalences == (COMMON,)


def test_each_change_has_its_row_in_an_unbroken_chain(store: Store) -> None:
    store.put_setting(SET)
    store.put_setting(COMMON)
    store.withdraw_setting(SET)
    rows = store.audit()
    assert [(row.id, row.action, row.author, row.subject) for row in rows] == [
        (1, "threshold-set", "Dr Amina", "finding opacity"),
        (2, "prevalence-set", "Dr Amina", "finding opacity"),
        (3, "threshold-withdrawn", "Dr Amina", "finding opacity"),
    ]
    assert [row.previous_sha256 for row in rows] == [FIRST, rows[0].sha256, rows[1].sha256]
    assert all(row.digest() == row.sha256 for row in rows)
    details = msgspec.json.decode(rows[0].details)
    assert details["threshold"] == 0.3
    assert details["abstention"]["low"] == 0.1
    assert details["programme"]["tests_per_day"] == 15
    assert (details["bundle_sha256"], details["variant"], details["reason"]) == (SHA, "float", "fifteen tests a day")


@pytest.mark.parametrize("part", ["id", "at", "author", "action", "subject", "details", "previous_sha256"])
def test_the_digest_covers_every_part_of_a_row(part: str) -> None:
    row = AuditRow(1, AT, "a", "b", "c", "{}", FIRST, "")
    assert replace(row, **{part: 2 if part == "id" else "another"}).digest() != row.digest()  # type: ignore[arg-type]


@pytest.mark.parametrize("table", ["audit", "site_threshold", "site_prevalence", "outcome"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET author = 'x'", "DELETE FROM {}", "REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_nothing_recorded_can_be_changed(path: Path, store: Store, table: str, change: str) -> None:
    adopt(store)
    store.put_setting(COMMON)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change.format(table))


# ---- outcomes -------------------------------------------------------------------------------------------------------

STUDIES = [study_code(Person(local_id=str(n)), f"1.2.{n}", "") for n in range(3)]


def read_some(store: Store) -> None:
    """Three studies of three people, the second with two films; read with the float graph of the bundle."""
    screening = store.begin(b"/out", "0" * 64, ReadingKey(SHA, "5" * 64))
    items = []
    for n, name in ((0, "a"), (1, "b"), (1, "c"), (2, "d")):
        found = FindingDecision("opacity", 0.2 + 0.1 * len(items), 0.5, Word.CLEAR, (Reason.AGE_UNKNOWN,))
        scan = Scan(name * 64, 1, Person(local_id=str(n), name="Amina"), f"1.2.{n}", sex="F", age_years=40)
        reading = Reading(scan, Model("toy", "1", "float", "e" * 64), "pillow", 1.0, (found,))
        items.append(Item(Stamp(f"/scans/{name}".encode(), 1, 1), reading))
    store.record(screening, items)


def adopt(store: Store, *positives: bool) -> tuple[int, int]:
    read_some(store)
    answers = positives or (True, False, False)
    return store.adopt(
        SOURCE, [ConfirmedOutcome(code, "opacity", yes) for code, yes in zip(STUDIES, answers, strict=False)], SET
    )


def test_outcomes_threshold_and_trail_are_recorded_together(store: Store, path: Path) -> None:
    assert adopt(store) == (3, 0)
    assert store.site_settings().thresholds == (SET,)
    outcomes, threshold = store.audit()
    assert (outcomes.action, threshold.action) == ("outcomes-added", "threshold-set")
    assert msgspec.json.decode(outcomes.details) == {"source_sha256": "d" * 64, "added": 3, "changed": 0}
    for row in (outcomes, threshold):
        assert "Amina" not in row.details + row.subject
        assert not any(code in row.details + row.subject for code in STUDIES)
    assert adopt(store, True, False, True) == (1, 1)  # what is known already gets no second row
    assert count(path, "outcome") == 4


def test_scans_are_given_as_this_graph_read_them(store: Store) -> None:
    read_some(store)
    found = {scan.sha256[0]: scan for scan in store.scored_scans(SHA, "float", "opacity")}
    assert sorted(found) == ["a", "b", "c", "d"]
    assert (found["b"].study, found["b"].local_id, found["b"].sex, found["b"].age_years) == (STUDIES[1], "1", "F", 40)
    assert found["c"].study == found["b"].study
    assert found["b"].paths == (b"/scans/b",)
    assert (found["b"].word, found["b"].reasons) == (Word.CLEAR, (Reason.AGE_UNKNOWN,))
    for other in ((SHA, "int8", "opacity"), ("c" * 64, "float", "opacity"), (SHA, "float", "nodule")):
        assert store.scored_scans(*other) == []


def test_a_path_names_what_was_last_found_there(store: Store) -> None:
    read_some(store)
    again = store.begin(b"/other", "1" * 64, ReadingKey(SHA, "6" * 64))
    found = FindingDecision("opacity", 0.9, 0.3, Word.REFER, (), local_probability=0.4)
    reading = Reading(Scan("e" * 64, 1), Model("toy", "1", "float", "e" * 64), "pillow", 1.0, (found,))
    store.record(again, [Item(Stamp(b"/scans/a", 1, 2), reading)])
    paths = {scan.sha256[0]: scan.paths for scan in store.scored_scans(SHA, "float", "opacity")}
    assert (paths["e"], paths["a"]) == ((b"/scans/a",), ())


def test_a_fault_in_the_middle_leaves_nothing(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("cut")

    monkeypatch.setattr(store_module, "put_setting", fail)
    with pytest.raises(RuntimeError, match="cut"):
        adopt(store)
    assert [count(path, table) for table in ("outcome", "site_threshold", "audit")] == [0, 0, 0]


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from aidpost_device.store import store as store_module
from tests.device import test_site
store_module.put_setting = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with store_module.Store(Path(sys.argv[1])) as store:
    test_site.adopt(store)
"""


def test_killed_in_the_middle_leaves_nothing(path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(path)], env=environment, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with Store(path) as store:
        assert store.site_settings() == SiteSettings()
        assert store.audit() == []
        assert [scan.study for scan in store.scored_scans(SHA, "float", "opacity")] != []
        assert adopt(store) == (3, 0)
