"""The store: what is recorded stays, what identifies stands apart, and what cannot be opened says why."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aidpost_device import __version__
from aidpost_device.decision import FindingDecision, Word
from aidpost_device.errors import StorageFullError, StoreError
from aidpost_device.reason import Reason
from aidpost_device.store.connection import connect, speaking
from aidpost_device.store.migrations import Step
from aidpost_device.store.records import Item, Known, Model, Person, Reading, ReadingKey, Rejection, Scan, Stamp
from aidpost_device.store.rows import RejectedRow, ScanRow
from aidpost_device.store.schema import STEPS
from aidpost_device.store.store import Screening, Store

KEY = ReadingKey("b" * 64, "5" * 64)
MODEL = Model("cxr-test", "1.0.0", "float32", "e" * 64)
AMINA = Person(issuer="CLINIC", local_id="17", name="Amina Example", birth_date="1984-02-29")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as store:
        yield store


@pytest.fixture
def screening(store: Store) -> Screening:
    return store.begin(b"/out", "0" * 64, KEY)


def stamp(name: str) -> Stamp:
    return Stamp(f"/scans/{name}".encode(), 100, 1_700_000_000_000_000_000)


def reading(content: str, word: Word = Word.CLEAR, **scan: object) -> Reading:
    found = FindingDecision("pneumonia", 0.25, 0.5, word, (Reason.AGE_UNKNOWN,))
    return Reading(Scan(sha256=content * 64, size_bytes=100, **scan), MODEL, "pillow-png", 12.5, (found,))  # type: ignore[arg-type]


def rejection(reason: str = "broken") -> Rejection:
    return Rejection(reason, "It is broken.", "Copy it again.", 3.0)


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


# ---- what is recorded -----------------------------------------------------------------------------------------------


def test_each_file_has_one_row_in_the_order_of_the_paths(store: Store, screening: Screening) -> None:
    store.record(screening, [Item(stamp("c"), rejection()), Item(stamp("a"), reading("a"))])
    store.record(screening, [Item(stamp("b"), Known("a" * 64))])
    first, second, third = store.rows(screening)
    assert isinstance(first, ScanRow)
    assert isinstance(second, ScanRow)
    assert [first.path, second.path, third.path] == [b"/scans/a", b"/scans/b", b"/scans/c"]
    assert replace(second, path=first.path) == first
    assert first.findings == reading("a").findings
    assert (first.model, first.decoder, first.milliseconds) == (MODEL, "pillow-png", 12.5)
    assert third == RejectedRow(b"/scans/c", None, "broken", "It is broken.", "Copy it again.", 3.0)


def test_a_content_has_one_reading_per_bundle_and_settings(store: Store, path: Path) -> None:
    for key in (KEY, KEY, ReadingKey("c" * 64, KEY.settings_sha256), ReadingKey(KEY.bundle_sha256, "6" * 64)):
        screening = store.begin(b"/out", "0" * 64, key)
        store.record(screening, [Item(stamp("a"), reading("a")), Item(stamp("b"), reading("a", Word.REFER))])
        assert store.has_reading(key, "a" * 64)
    assert not store.has_reading(KEY, "f" * 64)
    assert len(dump(path)["reading"]) == 3
    assert len(dump(path)["scan"]) == 1


def test_the_study_decides_over_all_its_scans(store: Store, screening: Screening) -> None:
    one = {"person": AMINA, "study_uid": "1.2.3"}
    store.record(
        screening,
        [
            Item(stamp("a"), reading("a", Word.REFER, **one)),
            Item(stamp("b"), reading("b", Word.CLEAR, **one)),
            Item(stamp("c"), reading("c", Word.CLEAR, person=AMINA, study_uid="1.2.4")),
            Item(stamp("d"), reading("d", Word.CLEAR, person=AMINA)),
        ],
    )
    first, second, third, fourth = (row for row in store.rows(screening) if isinstance(row, ScanRow))
    assert [row.decision for row in (first, second, third, fourth)] == [Word.REFER, Word.REFER, Word.CLEAR, Word.CLEAR]
    assert first.study == second.study
    assert len({first.study, third.study, fourth.study}) == 3
    assert len({row.person for row in (first, second, third, fourth)}) == 1
    assert not second.other_scan


def test_a_scan_of_an_earlier_screening_still_decides_its_study_and_the_row_says_so(
    store: Store, screening: Screening
) -> None:
    one = {"person": AMINA, "study_uid": "1.2.3"}
    store.record(screening, [Item(stamp("a"), reading("a", Word.REFER, **one))])
    store.finish(screening)
    later = store.begin(b"/later", "1" * 64, KEY)
    store.record(later, [Item(stamp("b"), reading("b", Word.CLEAR, **one))])
    (row,) = store.rows(later)
    assert isinstance(row, ScanRow)
    assert row.decision is Word.REFER
    assert row.reasons == (Reason.AGE_UNKNOWN, Reason.OTHER_SCAN)


@pytest.mark.parametrize(("bundle_sha256", "word"), [(KEY.bundle_sha256, Word.REFER), ("c" * 64, Word.CLEAR)])
def test_a_changed_setting_does_not_silence_the_study_s_earlier_film(
    store: Store, screening: Screening, bundle_sha256: str, word: Word
) -> None:
    one = {"person": AMINA, "study_uid": "1.2.3"}
    store.record(screening, [Item(stamp("a"), reading("a", Word.REFER, **one))])
    store.finish(screening)
    later = store.begin(b"/later", "1" * 64, ReadingKey(bundle_sha256, "6" * 64))
    store.record(later, [Item(stamp("b"), reading("b", Word.CLEAR, **one))])
    (row,) = store.rows(later)
    assert isinstance(row, ScanRow)
    assert row.decision is word
    assert row.other_scan is (word is Word.REFER)
    store.record(later, [Item(stamp("a"), reading("a", Word.CLEAR, **one))])  # read again: only that counts now
    assert {row.decision for row in store.rows(later) if isinstance(row, ScanRow)} == {Word.CLEAR}


def test_a_lateral_film_does_not_hide_what_the_other_film_says(store: Store, screening: Screening) -> None:
    one = {"person": AMINA, "study_uid": "1.2.3"}
    side = FindingDecision("pneumonia", 0.9, 0.5, Word.REPEAT, (Reason.VIEW_NOT_ACCEPTED,))
    store.record(screening, [Item(stamp("side"), replace(reading("a", **one), findings=(side,)))])
    words = []
    for content, word in (("b", Word.CLEAR), ("c", Word.REFER)):
        store.record(screening, [Item(stamp(content), reading(content, word, **one))])
        words.append({row.decision for row in store.rows(screening) if isinstance(row, ScanRow)})
    assert words == [{Word.CLEAR}, {Word.REFER}]
    store.finish(screening)
    later = store.begin(b"/later", "1" * 64, KEY)
    store.record(later, [Item(stamp("side"), Known("a" * 64))])
    (row,) = store.rows(later)
    assert isinstance(row, ScanRow)
    assert (row.decision, row.reasons) == (Word.REFER, (Reason.VIEW_NOT_ACCEPTED, Reason.OTHER_SCAN))


def test_a_study_that_lacks_a_film_is_not_clear(store: Store, screening: Screening, path: Path) -> None:
    one = {"person": AMINA, "study_uid": "1.2.3"}
    lost = replace(rejection(), **one, film_lost=True)  # type: ignore[arg-type]
    store.record(screening, [Item(stamp("a"), reading("a", **one)), Item(stamp("b"), replace(lost, film_lost=False))])
    scan, rejected = store.rows(screening)
    assert isinstance(scan, ScanRow)
    assert isinstance(rejected, RejectedRow)
    assert (scan.decision, scan.study_reasons) == (Word.CLEAR, ())
    assert (rejected.study, rejected.person) == (scan.study, scan.person)
    assert "Amina" not in repr(rejected)
    store.record(screening, [Item(stamp("b"), lost)])
    scan, _ = store.rows(screening)
    assert isinstance(scan, ScanRow)
    assert (scan.decision, scan.reasons) == (Word.UNSURE, (Reason.AGE_UNKNOWN, Reason.FILM_UNREADABLE))
    assert not scan.other_scan
    store.record(screening, [Item(stamp("b"), reading("b", **one))])
    assert {row.decision for row in store.rows(screening) if isinstance(row, ScanRow)} == {Word.CLEAR}


def test_people_are_known_by_issuer_and_local_id_only(store: Store, screening: Screening) -> None:
    people = [
        AMINA,
        replace(AMINA, name="A. Example"),  # the same id, written differently
        replace(AMINA, issuer="OTHER"),
        Person(name="Amina Example"),  # no id: nobody's name is trusted to be unique
        Person(name="Amina Example"),
        Person(),
    ]
    items = [
        Item(stamp(str(place)), reading(str(place), person=person, study_uid=f"1.{place}"))
        for place, person in enumerate(people)
    ]
    store.record(screening, items)
    persons = [row.person for row in store.rows(screening) if isinstance(row, ScanRow)]
    assert persons[0] == persons[1]
    assert len(set(persons)) == 5


def test_scans_of_one_study_without_a_local_id_are_one_person_s(store: Store, screening: Screening) -> None:
    store.record(screening, [Item(stamp(c), reading(c, study_uid="1.2.3")) for c in "ab"])
    first, second = (row for row in store.rows(screening) if isinstance(row, ScanRow))
    assert (first.person, first.study) == (second.person, second.study)


def test_the_same_study_uid_never_joins_two_people(store: Store, screening: Screening) -> None:
    other = replace(AMINA, local_id="18")
    store.record(
        screening,
        [
            Item(stamp("a"), reading("a", Word.REFER, person=AMINA, study_uid="1.2.3")),
            Item(stamp("b"), reading("b", Word.CLEAR, person=other, study_uid="1.2.3")),
        ],
    )
    assert [row.decision for row in store.rows(screening) if isinstance(row, ScanRow)] == [Word.REFER, Word.CLEAR]


def test_identifying_data_stand_in_one_table_alone(store: Store, screening: Screening, path: Path) -> None:
    store.record(screening, [Item(stamp("a"), reading("a", person=AMINA, study_uid="1.2.3"))])
    tables = dump(path)
    assert tables.pop("identity") == [(1, "CLINIC", "17", "Amina Example", "1984-02-29")]
    assert "Amina" not in repr(tables)
    assert "1984" not in repr(tables)


def test_study_codes_are_the_same_on_every_box_and_pseudonyms_are_not(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        with Store(tmp_path / name) as store:
            screening = store.begin(b"/out", "0" * 64, KEY)
            store.record(screening, [Item(stamp("a"), reading("a", person=AMINA, study_uid="1.2.3"))])
            seen += [row for row in store.rows(screening) if isinstance(row, ScanRow)]
    assert seen[0].study == seen[1].study
    assert seen[0].person != seen[1].person


def test_paths_that_are_not_utf8_survive(store: Store, screening: Screening) -> None:
    odd = Stamp(b"/scans/\xff\n'.dcm", 1, 2)
    store.record(screening, [Item(odd, rejection())])
    assert [row.path for row in store.rows(screening)] == [odd.path]


@pytest.mark.parametrize("table", ["reading", "reading_finding"])
@pytest.mark.parametrize(
    "change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_readings_are_append_only(store: Store, screening: Screening, path: Path, table: str, change: str) -> None:
    store.record(screening, [Item(stamp("a"), reading("a"))])
    before = dump(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        connection.execute(change.format(table, "bundle" if table == "reading" else "label"))
    assert dump(path) == before


# ---- going on -------------------------------------------------------------------------------------------------------


def test_an_unfinished_screening_is_gone_on_with(store: Store, screening: Screening) -> None:
    assert store.begin(b"/out", "0" * 64, KEY) == screening
    assert store.begin(b"/elsewhere", "0" * 64, KEY).id != screening.id
    assert store.begin(b"/out", "1" * 64, KEY).id != screening.id
    assert store.begin(b"/out", "0" * 64, replace(KEY, bundle_sha256="c" * 64)).id != screening.id
    store.finish(screening)
    assert store.begin(b"/out", "0" * 64, KEY).id != screening.id


def test_another_version_of_the_program_tries_rejected_files_again(
    store: Store, screening: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.record(screening, [Item(stamp("a"), reading("a")), Item(stamp("b"), rejection())])
    monkeypatch.setattr("aidpost_device.store.store.__version__", "99.0")
    again = store.begin(b"/out", "0" * 64, KEY)
    assert store.remaining(again, [stamp("b")]) == [stamp("b")]


def test_what_is_recorded_is_not_done_again(store: Store, screening: Screening) -> None:
    store.record(screening, [Item(stamp("a"), reading("a")), Item(stamp("b"), rejection())])
    changed = replace(stamp("a"), mtime_ns=5)
    assert store.remaining(screening, [stamp("a"), stamp("b"), stamp("c"), changed]) == [stamp("c"), changed]


def test_a_new_screening_trusts_no_stamp_and_knows_what_to_expect(store: Store, screening: Screening) -> None:
    store.record(screening, [Item(stamp("a"), reading("a")), Item(stamp("b"), rejection())])
    store.finish(screening)
    again = store.begin(b"/out", "0" * 64, KEY)
    stamps = [stamp("a"), stamp("b")]
    assert store.remaining(again, stamps) == stamps
    assert list(store.rows(again)) == []
    assert store.expected(KEY, stamps) == {b"/scans/a": "a" * 64}
    assert store.expected(KEY, [replace(stamp("a"), mtime_ns=5)]) == {}
    assert store.expected(replace(KEY, bundle_sha256="c" * 64), stamps) == {}


def test_what_was_read_last_at_a_stamp_is_expected(store: Store) -> None:
    for content in "ab":
        screening = store.begin(b"/out", content * 64, KEY)
        store.record(screening, [Item(stamp("a"), reading(content))])
    assert store.expected(KEY, [stamp("a")]) == {b"/scans/a": "b" * 64}


def test_a_file_that_changed_in_between_has_its_new_row_only(store: Store, screening: Screening) -> None:
    store.record(screening, [Item(stamp("a"), rejection())])
    store.record(screening, [Item(replace(stamp("a"), mtime_ns=5), reading("a"))])
    (row,) = store.rows(screening)
    assert isinstance(row, ScanRow)


# ---- trouble --------------------------------------------------------------------------------------------------------


def test_a_batch_is_recorded_whole_or_not_at_all(store: Store, screening: Screening, path: Path) -> None:
    before = dump(path)
    bad = replace(reading("b"), findings=(replace(reading("b").findings[0], probability=2.0),))
    with pytest.raises(StoreError, match="probability BETWEEN"):
        store.record(screening, [Item(stamp("a"), reading("a")), Item(stamp("b"), bad)])
    assert dump(path) == before
    store.record(screening, [Item(stamp("a"), reading("a"))])


def test_a_full_disk_keeps_what_was_recorded(store: Store, screening: Screening, path: Path) -> None:
    store.record(screening, [Item(stamp("a"), reading("a"))])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    before = dump(path)
    with pytest.raises(StorageFullError, match="No space is left") as caught:
        store.record(screening, [Item(stamp(f"{n}" * 50), replace(rejection(), message="x" * 4000)) for n in range(9)])
    assert "run the command again" in caught.value.hint
    assert dump(path) == before


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_store_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Store(path)
    assert path.read_bytes() == content


def test_a_damaged_store_says_so(path: Path) -> None:
    with Store(path) as store:
        screening = store.begin(b"/out", "0" * 64, KEY)
        store.record(screening, [Item(stamp(str(n)), rejection("x" * 2000)) for n in range(50)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with Store(path) as store, pytest.raises(StoreError, match="damaged"):
        list(store.rows(screening))


def test_another_program_s_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program"):
        Store(path)


def test_a_store_that_is_held_too_long_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aidpost_device.store.connection.BUSY_SECONDS", 0.05)
    with Store(path) as store, sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="held by another program"):
            store.begin(b"/out", "0" * 64, KEY)
        other.execute("ROLLBACK")
        store.begin(b"/out", "0" * 64, KEY)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "missing" / "store.sqlite3")


def test_every_commit_is_durable_and_the_file_is_private(store: Store, screening: Screening, path: Path) -> None:
    pragmas = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


# ---- migrations -----------------------------------------------------------------------------------------------------

NEXT = Step("a column more", 1, ("ALTER TABLE study ADD COLUMN note TEXT NOT NULL DEFAULT ''",))
BREAKING = Step("another meaning", len(STEPS) + 1, ("ALTER TABLE study RENAME COLUMN uid TO study_uid",))


def open_with(path: Path, *steps: Step) -> None:
    with speaking(path):
        connect(path, steps).close()


def test_steps_are_applied_once_and_keep_the_data(path: Path) -> None:
    with Store(path) as store:
        screening = store.begin(b"/out", "0" * 64, KEY)
        store.record(screening, [Item(stamp("a"), reading("a"))])
    for _ in range(2):
        open_with(path, *STEPS, NEXT)
    assert [row[1] for row in dump(path)["migration"]] == [*(step.name for step in STEPS), NEXT.name]
    with Store(path) as store:  # the older program on the newer store
        assert len(list(store.rows(screening))) == 1
        store.record(screening, [Item(stamp("b"), reading("b"))])


def test_readings_of_an_earlier_release_have_no_region(path: Path) -> None:
    open_with(path, *STEPS[:2])
    with sqlite3.connect(path) as connection:
        connection.executescript(
            f"""
            INSERT INTO person VALUES (1, 'P-1');
            INSERT INTO study VALUES (1, 1, 'S-1', '');
            INSERT INTO scan VALUES (1, 1, '{"a" * 64}', 1, '', '', '', '', NULL, '');
            INSERT INTO reading VALUES (1, 1, '{KEY.bundle_sha256}', '{KEY.settings_sha256}',
                'toy', '1.0.0', 'float', '', '', 1.0, '0.1', '');
            INSERT INTO reading_finding VALUES (1, 0, 'opacity', 0.75, 0.5, 'REFER', '');
            INSERT INTO screening
                VALUES (1, x'2f6f7574', '', '{KEY.bundle_sha256}', '{KEY.settings_sha256}', '', '', '');
            INSERT INTO item VALUES (1, x'2f61', 1, 2, 1, NULL);
            """
        )
    with Store(path) as store:
        (row,) = store.rows(Screening(1, KEY))
    assert isinstance(row, ScanRow)
    (found,) = row.findings
    assert (found.word, found.probability, found.region, found.local_probability) == (Word.REFER, 0.75, "", None)


def test_a_store_of_the_first_release_is_gone_on_with(path: Path) -> None:
    open_with(path, STEPS[0])
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO rejection VALUES (1, NULL, 'broken', 'It is broken.', '', 3.0, '0.1', '')")
        connection.execute(
            "INSERT INTO screening VALUES (1, x'2f6f7574', ?, ?, ?, ?, '', NULL)",
            ("0" * 64, KEY.bundle_sha256, KEY.settings_sha256, __version__),
        )
        connection.execute("INSERT INTO item VALUES (1, x'2f61', 1, 2, NULL, 1)")
    with Store(path) as store:
        screening = store.begin(b"/out", "0" * 64, KEY)
        store.record(screening, [Item(stamp("b"), replace(rejection(), study_uid="1.2.3", film_lost=True))])
        first, second = store.rows(screening)
    assert isinstance(first, RejectedRow)
    assert isinstance(second, RejectedRow)
    assert (first.study, second.study[:2]) == ("", "S-")


def test_a_store_that_needs_a_newer_program_is_refused_untouched(path: Path) -> None:
    open_with(path, *STEPS, BREAKING)
    before = dump(path)
    with pytest.raises(StoreError, match=f"needs reader {len(STEPS) + 1} and this program is reader {len(STEPS)}"):
        Store(path)
    assert dump(path) == before


def test_a_step_that_fails_leaves_nothing_behind(path: Path) -> None:
    Store(path).close()
    before = dump(path)
    half = Step("half", 1, ("CREATE TABLE one (x)", "CREATE TABLE one (x)"))
    with pytest.raises(StoreError, match="already exists"):
        open_with(path, *STEPS, half)
    assert dump(path) == before


def test_a_store_of_another_line_is_refused(path: Path) -> None:
    open_with(path, *STEPS, NEXT)
    with pytest.raises(StoreError, match="another line"):
        open_with(path, *STEPS, BREAKING)


def test_a_copy_of_the_store_and_its_log_is_the_store(store: Store, screening: Screening, path: Path) -> None:
    """What `record` has returned from is in the files at that instant, as a power cut would find them."""
    store.record(screening, [Item(stamp("a"), reading("a"))])
    copy = path.parent / "copy.sqlite3"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with Store(copy) as found:
        assert len(list(found.rows(screening))) == 1
