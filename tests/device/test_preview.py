"""Update with a preview: what would change is shown before it changes, and nothing changes before it was shown."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidpost_device.bundle import trust_file
from aidpost_device.bundle.install import Installed, active_bundle, install, rollback
from aidpost_device.bundle.slots import read_state
from aidpost_device.cli.main import main
from aidpost_device.decision import FindingDecision, Word
from aidpost_device.errors import AidpostError, PreviewError
from aidpost_device.home import Home
from aidpost_device.in_force import Signed, SiteThreshold
from aidpost_device.prepare import prepare_bytes
from aidpost_device.preview.comparison import Pair, compare
from aidpost_device.preview.link import (
    FEWEST_PEOPLE,
    LinkedThreshold,
    link_threshold,
    linked_score,
    rank_correlation,
)
from aidpost_device.preview.outcome import DOCUMENT, TABLE, Preview, lines
from aidpost_device.preview.shadow import preview, record
from aidpost_device.screening.screen import screen
from aidpost_device.store.store import Store

from . import bundles, scans

COUNT = 60
TODAY = date(2026, 1, 1)

# ---- linking --------------------------------------------------------------------------------------------------------

RISING = np.linspace(0, 1, 101)


@pytest.mark.parametrize(
    ("old", "new", "score", "expected"),
    [
        (RISING, RISING, 0.3, 0.3),
        (RISING, RISING / 2, 0.3, 0.15),
        (RISING, RISING[::-1], 0.3, 0.3),
        (RISING, np.full(101, 0.25), 0.9, 0.25),
        (RISING / 2, RISING, 0.3, 0.6),
        (RISING / 2, RISING, 0.6, None),
        (RISING / 2 + 0.5, RISING, 0.4, None),
        (RISING[:0], RISING[:0], 0.5, None),
    ],
)
def test_a_score_stands_where_the_same_share_of_the_scans_reaches_it(
    old: np.ndarray, new: np.ndarray, score: float, expected: float | None
) -> None:
    found = linked_score(old, new, score)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("new", "expected"), [(RISING, 1.0), (RISING**3, 1.0), (-RISING, -1.0), (np.zeros(101), None)])
def test_the_rank_correlation_asks_for_the_order_alone(new: np.ndarray, expected: float | None) -> None:
    found = rank_correlation(RISING, new)
    assert found == (None if expected is None else pytest.approx(expected))


def people(count: int, each: int = 1) -> list[str]:
    return [f"P-{i // each}" for i in range(count)]


@given(st.integers(0, 2**16), st.floats(0.15, 0.85), st.floats(0.3, 3.0))
def test_the_linked_threshold_flags_the_same_scans_of_a_model_that_orders_them_alike(
    seed: int, threshold: float, power: float
) -> None:
    old = np.random.default_rng(seed).random(120)
    new = old**power / 2
    found = link_threshold(old, new, threshold, people(120))
    assert isinstance(found, LinkedThreshold)
    np.testing.assert_array_equal(new >= found.value, old >= threshold)
    assert found.low <= found.value <= found.high
    assert found.share == pytest.approx(np.mean(old >= threshold))


def test_scans_of_the_same_people_make_the_interval_wider() -> None:
    old = np.repeat(np.random.default_rng(1).random(60), 5)
    alone = link_threshold(old, old, 0.5, people(300))
    together = link_threshold(old, old, 0.5, people(300, each=5))
    assert isinstance(alone, LinkedThreshold)
    assert isinstance(together, LinkedThreshold)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("count", "each", "threshold", "reason"),
    [
        (FEWEST_PEOPLE - 1, 1, 0.5, "too few scans: they are of 49 people, 50 are needed"),
        (4 * FEWEST_PEOPLE, 5, 0.5, "too few scans: they are of 40 people, 50 are needed"),
        (100, 1, 0.97, "too few scans: the old threshold flags 3 of 100"),
        (100, 1, 0.03, "too few scans: the old threshold flags 97 of 100"),
    ],
)
def test_too_few_scans_give_no_threshold(count: int, each: int, threshold: float, reason: str) -> None:
    scores = (np.arange(count) + 0.5) / count
    found = link_threshold(scores, scores, threshold, people(count, each))
    assert isinstance(found, str)
    assert found.startswith(reason)


# ---- words ----------------------------------------------------------------------------------------------------------


def found(probability: float, word: Word, label: str = "opacity") -> tuple[FindingDecision, ...]:
    return (FindingDecision(label, probability, 0.5, word),)


REFER, CLEAR, UNSURE = found(0.9, Word.REFER), found(0.1, Word.CLEAR), found(0.4, Word.UNSURE)


@pytest.mark.parametrize(
    ("old", "new", "words", "change"),
    [
        ([REFER], [REFER], "REFER > REFER", None),
        ([REFER], [CLEAR], "REFER > CLEAR", (0.9, 0.1)),
        ([CLEAR], [REFER], "CLEAR > REFER", (0.1, 0.9)),
        ([CLEAR], [UNSURE], "CLEAR > UNSURE", (0.1, 0.4)),
        ([CLEAR], [()], "CLEAR > REJECTED", (0.1, None)),
        ([REFER, CLEAR], [CLEAR, REFER], "REFER > REFER", None),  # another film of the study decides: the same word
        ([REFER, CLEAR], [CLEAR, UNSURE], "REFER > UNSURE", (0.9, 0.4)),
        ([REFER, CLEAR], [(), CLEAR], "REFER > CLEAR", (0.9, 0.1)),
    ],
)
def test_the_word_of_a_study_is_compared(
    old: list[tuple[FindingDecision, ...]],
    new: list[tuple[FindingDecision, ...]],
    words: str,
    change: tuple[float, float | None] | None,
) -> None:
    pairs = [Pair("S-1", "P-1", before, after) for before, after in zip(old, new, strict=True)]
    result = compare(pairs, {"opacity": 0.5}, {"opacity": 0.5})
    assert (result.scans, result.studies, result.words) == (len(old), 1, {words: 1})
    assert [(one.scores[0].old, one.scores[0].new) for one in result.changes] == ([change] if change else [])


def test_a_film_that_the_new_bundle_refuses_leaves_its_study_unsure() -> None:
    pairs = [Pair("S-1", "P-1", CLEAR, (), film_lost=True), Pair("S-1", "P-1", CLEAR, CLEAR)]
    assert compare(pairs, {"opacity": 0.5}, {"opacity": 0.5}).words == {"CLEAR > UNSURE": 1}


def test_who_would_no_longer_be_referred_comes_first() -> None:
    pairs = [
        Pair("S-a", "P-a", CLEAR, UNSURE),
        Pair("S-b", "P-b", CLEAR, REFER),
        Pair("S-c", "P-c", REFER, CLEAR),
        Pair("S-d", "P-d", REFER, UNSURE),
    ]
    result = compare(pairs, {"opacity": 0.5}, {"opacity": 0.5})
    assert [one.study for one in result.changes] == ["S-d", "S-c", "S-b", "S-a"]


def test_a_finding_of_one_bundle_alone_is_not_linked() -> None:
    pairs = [Pair("S-1", "P-1", REFER, found(0.2, Word.CLEAR, "nodule"))]
    result = compare(pairs, {"opacity": 0.5}, {"nodule": 0.5})
    assert result.findings == ()
    assert [(one.label, one.old, one.new) for one in result.changes[0].scores] == [
        ("opacity", 0.9, None),
        ("nodule", None, 0.2),
    ]


def test_scans_to_be_taken_again_move_no_threshold() -> None:
    pairs = [Pair(f"S-{i}", f"P-{i}", *2 * (found((i + 0.5) / 100, Word.CLEAR),)) for i in range(100)]
    blank = [Pair(f"S-b{i}", f"P-b{i}", found(0.9, Word.REPEAT), found(0.02, Word.REPEAT)) for i in range(40)]
    (alone,) = compare(pairs, {"opacity": 0.5}, {"opacity": 0.5}).findings
    (beside,) = compare([*pairs, *blank], {"opacity": 0.5}, {"opacity": 0.5}).findings
    assert alone.linked
    assert beside == alone


def test_the_printed_command_sets_the_threshold_that_was_linked() -> None:
    scores = [(i + 0.5) / 100 for i in range(100)]
    pairs = [
        Pair(f"S-{i}", f"P-{i}", found(score, Word.CLEAR), found(score * 1e-4, Word.CLEAR))
        for i, score in enumerate(scores)
    ]
    comparison = compare(pairs, {"opacity": 0.5}, {"opacity": 0.5})
    made = Preview(
        bundle="toy",
        old_version="1.0.0",
        old_sha256="a" * 64,
        new_version="2.0.0",
        new_sha256="b" * 64,
        variant="float",
        wanted=100,
        unavailable=0,
        comparison=comparison,
    )
    (command,) = (line for line in lines(made) if "--set" in line)
    value = float(command.split("--set ")[1].split()[0])
    assert [score * 1e-4 >= value for score in scores] == [score >= 0.5 for score in scores]


# ---- on a box -------------------------------------------------------------------------------------------------------

OLD = scans.splitting(bundles.draft())
NEW = scans.splitting(bundles.draft(build=2, version="2.0.0", seed=1)).pack()
OTHER = scans.splitting(bundles.draft(build=3, version="3.0.0", seed=2)).pack()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sixty pictures and a box that has read them; its copies are what the tests change."""
    folder = tmp_path_factory.mktemp("preview")
    home = Home.at(folder / "home")
    trust_file.change(home, lambda _: bundles.TRUST)
    put(home, OLD.pack())
    for seed in range(COUNT):
        scans.png(folder / "in" / f"{seed:02d}.png", seed)
    screen(home, active_bundle(home), [folder / "in"], folder / "out", workers=1)
    return folder


@pytest.fixture
def box(original: Path, tmp_path: Path) -> Home:
    """A box whose active bundle has read the pictures."""
    shutil.copytree(original / "home", tmp_path / "box")
    return Home.at(tmp_path / "box")


def put(home: Home, data: bytes, reason: str | None = None) -> Installed:
    signed = None if reason is None else Signed(author="Amina", reason=reason, at="2026-01-02T03:04:05+00:00")
    return install(home, data, TODAY, prepare=bundles.prepare, target="x86", without_preview=signed)


def look(home: Home, data: bytes = NEW, **options: int) -> Preview:
    return preview(home, data, TODAY, prepare=bundles.prepare, target="x86", workers=1, **options)


def rows(home: Home, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home.store_file)) as connection:
        return connection.execute(query).fetchall()


def words_of(folder: Path) -> dict[str, tuple[str, float]]:
    with (folder / "readings.csv").open(newline="") as file:
        return {row["study"]: (row["decision"], float(row["probability"])) for row in csv.DictReader(file)}


def test_the_preview_says_what_a_screening_with_the_other_says(box: Home, original: Path, tmp_path: Path) -> None:
    made = look(box)
    record(box, made)
    assert (made.wanted, made.unavailable, made.comparison.scans) == (COUNT, 0, COUNT)
    put(box, NEW)
    screen(box, active_bundle(box), [original / "in"], tmp_path / "after", workers=1)
    before, after = words_of(original / "out"), words_of(tmp_path / "after")
    changed = {study for study in before if before[study][0] != after[study][0]}
    assert {one.study for one in made.comparison.changes} == changed
    assert changed
    assert sum(made.comparison.words.values()) == COUNT
    for one in made.comparison.changes:
        assert (one.old, one.new) == (before[one.study][0], after[one.study][0])
        (score,) = one.scores
        assert (score.old, score.new) == pytest.approx((before[one.study][1], after[one.study][1]), rel=1e-5)
    (finding,) = made.comparison.findings
    assert finding.linked
    flagged = sum(probability >= finding.linked.value for _, probability in after.values())
    assert flagged == sum(word == "REFER" for word, _ in before.values())


def test_scans_that_were_read_before_a_setting_changed_are_decided_by_it(box: Home) -> None:
    active, state = active_bundle(box), read_state(box, "toy")
    assert state is not None
    with Store(box.store_file) as store:
        scores = [one.findings[0].probability for one in store.last_scans(active.sha256, COUNT)]
        mine = float(np.quantile(scores, 0.2))
        store.put_setting(
            SiteThreshold(
                author="Amina",
                reason="few are missed",
                at="2026-01-02T03:04:05+00:00",
                bundle_sha256=active.sha256,
                variant=state.active.variant,
                finding="opacity",
                threshold=mine,
            )
        )
    same = scans.splitting(bundles.draft(build=2, version="2.0.0")).pack()  # the graph that reads here already
    own = OLD.manifest.variants[0].findings["opacity"].operating_point.threshold
    words = look(box, same).comparison.words
    lost = sum(mine <= score < own for score in scores)
    assert lost > 0
    assert words["REFER > CLEAR"] == lost
    assert words["REFER > REFER"] == sum(score >= own for score in scores)


def test_a_film_that_the_new_bundle_refuses_counts_as_in_a_screening(box: Home, tmp_path: Path) -> None:
    one = {"StudyInstanceUID": "1.2.3", "PatientID": "17"}
    films = [scans.dicom(tmp_path / "in" / f"{seed}.dcm", seed, **one) for seed in (1, 2)]
    prepared = [prepare_bytes(film.name, film.read_bytes(), bundles.SPEC).pixels[None] for film in films]
    measured = bundles.draft(build=2, version="2.0.0", distance=1.0)
    found = [bundles.outputs_of(measured.members["model.int8.onnx"], pixels) for pixels in prepared]
    between = float(np.mean([given.distance for given in found]))
    never = {"opacity": bundles.numbers(threshold=0.9999)}
    put(box, scans.splitting(bundles.draft(name="films")).pack())
    new = bundles.draft(name="films", build=2, version="2.0.0", distance=between)
    new = new.having(variants=tuple(msgspec.structs.replace(one, findings=never) for one in new.manifest.variants))
    screen(box, active_bundle(box, "films"), [tmp_path / "in"], tmp_path / "before", workers=1)
    words = look(box, new.pack()).comparison.words
    put(box, new.pack(), "to compare")
    screen(box, active_bundle(box, "films"), [tmp_path / "in"], tmp_path / "after", workers=1)
    with (tmp_path / "after" / "readings.csv").open(newline="") as file:
        read = [row["decision"] for row in csv.DictReader(file)]
    assert sorted(read) == ["REJECTED", "UNSURE"]
    assert [pair.split(" > ")[1] for pair in words] == ["UNSURE"]


def test_nothing_is_read_into_the_record_and_nothing_is_installed(
    box: Home, snapshot: Callable[[Path], dict[str, bytes | None]]
) -> None:
    before, readings = snapshot(box.bundles), rows(box, "SELECT * FROM reading")
    look(box)
    assert snapshot(box.bundles) == before
    assert rows(box, "SELECT * FROM reading") == readings
    assert rows(box, "SELECT * FROM preview") == []


def test_the_last_scans_are_read(box: Home) -> None:
    made = look(box, last=7)
    assert (made.wanted, made.comparison.scans) == (7, 7)
    assert made.comparison.findings[0].refusal.startswith("too few scans: they are of 7 people")


def test_files_that_are_gone_or_changed_are_counted_and_not_guessed(box: Home, original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(original / "in", folder / "in")
    screen(box, active_bundle(box), [folder / "in"], tmp_path / "again", workers=1)
    (folder / "in" / "00.png").unlink()  # still where it was read first
    for name in ("01.png", "02.png", "03.png"):
        (original / "in" / name).rename(original / name)
        (folder / "in" / name).unlink()
    shutil.copy(original / "02.png", folder / "in" / "01.png")  # another content, which is that of a scan
    scans.png(folder / "in" / "03.png", 999)
    try:
        made = look(box)
    finally:
        for name in ("01.png", "02.png", "03.png"):
            (original / name).rename(original / "in" / name)
    assert (made.wanted, made.unavailable, made.comparison.scans) == (COUNT, 2, COUNT - 2)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda home: shutil.rmtree(home.bundles), "No bundle is active as toy"),
        (lambda home: home.store_file.unlink(), "has read no scan here yet"),
    ],
)
def test_without_anything_to_compare_with_it_says_so(box: Home, arrange: Callable[[Home], None], message: str) -> None:
    arrange(box)
    with pytest.raises(PreviewError, match=message):
        look(box)


def test_the_active_bundle_is_not_compared_with_itself(box: Home) -> None:
    with pytest.raises(PreviewError, match=r"toy 1\.0\.0 is the active bundle"):
        look(box, OLD.pack())


def test_a_preview_of_no_scan_is_none(box: Home, original: Path) -> None:
    (original / "in").rename(original / "elsewhere")
    try:
        with pytest.raises(PreviewError, match=r"None of the 60 scans that 1\.0\.0 read last is where it was"):
            look(box)
    finally:
        (original / "elsewhere").rename(original / "in")
    with pytest.raises(PreviewError, match="was not tried"):
        put(box, NEW)


def test_a_bundle_that_would_not_install_is_not_previewed(box: Home) -> None:
    with pytest.raises(AidpostError, match=r"canonical form|cut off"):
        look(box, NEW[:-1] + bytes([NEW[-1] ^ 1]))


# ---- the rule -------------------------------------------------------------------------------------------------------


def test_a_bundle_takes_another_one_s_place_only_after_its_own_preview(box: Home) -> None:
    with pytest.raises(PreviewError, match=r"toy 2\.0\.0 was not tried on the scans") as caught:
        put(box, NEW)
    assert "aidpost device install FILE --preview" in caught.value.hint
    assert active_bundle(box).manifest.version == "1.0.0"
    record(box, look(box))
    with pytest.raises(PreviewError):
        put(box, OTHER)
    assert put(box, NEW).changed
    assert rows(box, "SELECT * FROM audit") == []
    ((name, wanted, read, changed),) = rows(box, "SELECT bundle, wanted, scans, changed FROM preview")
    assert (name, wanted, read) == ("toy", COUNT, COUNT)
    assert isinstance(changed, int)
    assert changed > 0


def test_a_preview_against_an_earlier_bundle_does_not_count(box: Home, original: Path, tmp_path: Path) -> None:
    record(box, look(box, OTHER))
    put(box, NEW, "urgent")
    screen(box, active_bundle(box), [original / "in" / "00.png"], tmp_path / "out", workers=1)
    with pytest.raises(PreviewError):
        put(box, OTHER)


def test_a_reason_stands_in_for_the_preview_and_is_kept(box: Home) -> None:
    put(box, NEW, "the old model missed two children")
    with Store(box.store_file) as store:
        (row,) = store.audit()
    details = json.loads(row.details)
    assert (row.author, row.action, row.subject) == ("Amina", "activated-without-preview", "bundle toy 2.0.0")
    assert (details["bundle_sha256"], details["reason"]) == (
        active_bundle(box).sha256,
        "the old model missed two children",
    )


def test_what_replaces_nothing_that_has_read_needs_no_preview(box: Home, tmp_path: Path) -> None:
    assert not put(box, OLD.pack()).changed
    another = scans.splitting(bundles.draft(name="another")).pack()
    assert put(box, another).changed
    put(box, NEW, "urgent")  # which has read nothing yet
    assert put(box, OTHER).changed
    with Store(box.store_file) as store:
        assert [json.loads(row.details)["reason"] for row in store.audit()] == ["urgent"]


def test_going_back_is_always_allowed_and_brings_all_numbers_back(box: Home) -> None:
    before = read_state(box, "toy")
    assert before is not None
    put(box, NEW, "urgent")
    rollback(box, "toy")
    after = read_state(box, "toy")
    assert after is not None
    assert after.active == before.active
    assert active_bundle(box, "toy").manifest.variants == OLD.manifest.variants
    rollback(box, "toy")
    assert active_bundle(box, "toy").manifest.version == "2.0.0"


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(
    box: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Type `aidpost device install NEW` with options."""
    monkeypatch.setenv("AIDPOST_HOME", str(box.path))
    monkeypatch.setenv("AIDPOST_TARGET", "x86")
    (tmp_path / "new.aidpost").write_bytes(NEW)

    def run(*options: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["device", "install", str(tmp_path / "new.aidpost"), *map(str, options)])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run


def test_the_command_shows_writes_and_records(
    typed: Callable[..., tuple[int, str, str]], box: Home, tmp_path: Path
) -> None:
    code, _, complaint = typed()
    assert code == 1
    assert "was not tried on the scans that the active bundle has read here" in complaint
    code, shown, _ = typed("--preview", "--last", "59", "--out", tmp_path / "out")
    assert code == 0
    assert "59 stored scans of 59 studies were read with toy 2.0.0 (int8), which 1.0.0 has read." in shown
    assert "Nothing was changed." in shown
    document = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    changes = {one["study"] for one in document["comparison"]["changes"]}
    with (tmp_path / "out" / TABLE).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["study"] for row in table} == changes
    assert all(row["old_decision"] != row["new_decision"] for row in table)
    ((digest,),) = rows(box, "SELECT result_sha256 FROM preview")
    assert isinstance(digest, str)
    assert typed()[0] == 0
    assert active_bundle(box).manifest.version == "2.0.0"


@pytest.mark.parametrize(
    "options",
    [
        ("--last", "5"),
        ("--out", "x"),
        ("--preview", "--without-preview"),
        ("--without-preview", "--author", "Amina"),
        ("--last", "0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    typed: Callable[..., tuple[int, str, str]], options: tuple[str, ...]
) -> None:
    assert typed(*options)[0] == 2


KILLED = """
import os, sys
from datetime import date
from pathlib import Path
from aidpost_device.home import Home
from aidpost_device.preview.shadow import preview
from tests.device import bundles

def kill_after_twenty(done, wanted):
    if done == 20:
        os.kill(os.getpid(), 9)

preview(
    Home.at(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes(), date(2026, 1, 1), workers=1,
    prepare=bundles.prepare, target="x86", progress=kill_after_twenty,
)
"""


def test_a_preview_that_is_killed_leaves_nothing(
    box: Home, tmp_path: Path, snapshot: Callable[[Path], dict[str, bytes | None]]
) -> None:
    (tmp_path / "new.aidpost").write_bytes(NEW)
    before, readings = snapshot(box.bundles), rows(box, "SELECT count(*) FROM reading")
    command = [sys.executable, "-c", KILLED, str(box.path), str(tmp_path / "new.aidpost")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert snapshot(box.bundles) == before
    assert rows(box, "SELECT count(*) FROM reading") == readings
    assert rows(box, "SELECT * FROM preview") == []
    with pytest.raises(PreviewError):
        put(box, NEW)
