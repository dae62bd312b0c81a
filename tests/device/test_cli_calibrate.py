"""`aidpost device calibrate | threshold | prevalence | audit`, as people type them, on films that were screened."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aidpost_device.bundle.install import Installed, active_bundle
from aidpost_device.bundle.variant import Abstention
from aidpost_device.calibration.prior_shift import local_probability
from aidpost_device.cli.main import main
from aidpost_device.home import Home
from aidpost_device.screening.screen import screen

from . import bundles, scans

Run = Callable[..., tuple[int, str, str]]
Row = dict[str, str]
FILMS = 80


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    folder = tmp_path_factory.mktemp("films")
    for seed in range(FILMS):
        scans.png(folder / f"{seed:03d}.png", seed)
    return folder


@pytest.fixture(scope="module")
def toy() -> bundles.Draft:
    """The toy bundle with a threshold in the middle of the pictures and a band around it."""
    draft = scans.splitting(bundles.draft())
    own = draft.manifest.variants[0].findings["opacity"]
    middle = own.operating_point.threshold
    band = Abstention(low=middle - 0.01, high=middle + 0.01, coverage=0.9, unsure=0.1, wanted=0.9, most=0.2)
    numbers = msgspec.structs.replace(own, abstention=band)
    return draft.having(
        variants=tuple(msgspec.structs.replace(one, findings={"opacity": numbers}) for one in draft.manifest.variants)
    )


@pytest.fixture
def box(trusting: Home, install_here: Callable[[bytes], Installed], toy: bundles.Draft) -> Home:
    """A home in which the toy bundle is active."""
    install_here(toy.pack())
    return trusting


@pytest.fixture
def run(box: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of the device; give exit code, stdout and stderr."""
    monkeypatch.setenv("AIDPOST_TARGET", "x86")
    monkeypatch.setenv("COLUMNS", "100")

    def typed(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["device", *map(str, arguments)])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return typed


def read(box: Home, films: Path, out: Path) -> dict[str, Row]:
    """Screen the films; give the rows by file name."""
    screen(box, active_bundle(box), (films,), out, workers=2)
    with (out / "readings.csv").open(newline="") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file)}


def write_outcomes(path: Path, rows: dict[str, Row], *, noise: float = 0.5) -> Path:
    """Let the finding follow the probability, more or less."""
    scores = np.array([float(row["probability"]) for row in rows.values()])
    spread = scores + noise * scores.std() * np.random.default_rng(0).normal(size=scores.size)
    lines = [
        f"{row['sha256']},{'positive' if positive else 'negative'}"
        for row, positive in zip(rows.values(), spread > np.median(spread), strict=True)
    ]
    path.write_text("\n".join(["sha256,outcome", *lines]) + "\n")
    return path


def tables(box: Home) -> dict[str, int]:
    with closing(sqlite3.connect(box.store_file)) as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("outcome", "site_threshold", "site_prevalence", "audit", "reading")
        }


def test_a_clinic_calibrates(run: Run, box: Home, films: Path, tmp_path: Path) -> None:
    before = read(box, films, tmp_path / "first")
    outcomes = write_outcomes(tmp_path / "found.csv", before)
    own = before["000.png"]["threshold"]
    asked = ["calibrate", "--outcomes", outcomes, "--prevalence", "0.2", "--people-per-day", "50"]
    asked += ["--tests-per-day", "15", "--cost-test", "20", "--cost-missed", "900", "--by", "sex"]
    asked += ["--out", tmp_path / "all.csv"]

    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert "80 studies with a confirmed outcome: 40 with the finding, 40 without" in out
    assert "prevalence 20.0% (given here)" in out
    assert "a test costs 20 and a missed case 900" in out
    assert "Of 100 flagged here, about " in out
    assert "people a day to a test; 15 can be tested." in out
    assert "sex not known: 40 with, 40 without: sensitivity" in out
    assert "Nothing was changed." in out
    assert tables(box) == {"outcome": 0, "site_threshold": 0, "site_prevalence": 0, "audit": 0, "reading": FILMS}
    with (tmp_path / "all.csv").open(newline="") as file:
        everything = list(csv.DictReader(file))
    assert len(everything) >= FILMS - 10
    assert {row["cases"] for row in everything} == {"outcomes", ""}

    code, out, err = run(*asked, "--adopt", "--author", "Dr Amina", "--reason", "fifteen tests a day")
    assert (code, err) == (0, "")
    assert "Recorded: 80 outcomes (0 of them in the place of an earlier answer), and the threshold." in out
    assert tables(box) == {"outcome": 80, "site_threshold": 1, "site_prevalence": 0, "audit": 2, "reading": FILMS}

    after = read(box, films, tmp_path / "second")
    (threshold,) = {row["threshold"] for row in after.values()}
    assert threshold != own
    assert {name: row["probability"] for name, row in after.items()} == {
        name: row["probability"] for name, row in before.items()
    }
    decided = [row for row in after.values() if row["reasons"] != "between-limits"]
    assert decided
    assert all((row["decision"] == "REFER") == (float(row["probability"]) >= float(threshold)) for row in decided)
    assert tables(box)["reading"] == 2 * FILMS  # the earlier readings stay
    page = (tmp_path / "second" / "report.html").read_text()
    assert "Set by Dr Amina on " in page
    assert "fifteen tests a day" in page

    code, out, _ = run("threshold")
    assert f"threshold {float(threshold):.4g}, this site's; the bundle's own is {float(own):.4g}" in out
    assert "set by Dr Amina on " in out
    assert "This is the threshold in use." in run(*asked)[1]

    trail = run("audit")[1].splitlines()
    assert [line.split("  ")[3] for line in trail] == ["outcomes-added", "threshold-set"]
    names = [row["study"] for row in before.values()]
    assert not any(name in line for name in names for line in trail)


def test_a_threshold_is_set_shown_and_withdrawn(run: Run, box: Home, films: Path, tmp_path: Path) -> None:
    own = read(box, films, tmp_path / "first")["000.png"]["threshold"]
    assert "the bundle's own" in run("threshold")[1]
    code, out, _ = run("threshold", "--set", "0.9", "--author", "Dr  Musa", "--reason", "too many\ntests")
    assert code == 0
    assert "threshold 0.9, this site's" in out
    assert "no limits of UNSURE are set around it" in out
    assert out.splitlines()[-1].startswith("set by Dr Musa on ")
    assert out.endswith(": too many tests\n")
    strict = read(box, films, tmp_path / "strict")
    assert {(row["threshold"], row["decision"], row["reasons"]) for row in strict.values()} == {("0.9", "CLEAR", "")}

    assert "the bundle's own" in run("threshold", "--withdraw", "--author", "a", "--reason", "b")[1]
    again = read(box, films, tmp_path / "again")
    assert {row["threshold"] for row in again.values()} == {own}
    assert tables(box)["reading"] == 2 * FILMS  # the first readings are the same ones
    code, _, err = run("threshold", "--withdraw", "--author", "a", "--reason", "b")
    assert (code, "Nothing is set" in err) == (1, True)


def test_a_threshold_of_the_bundle_before_comes_back_with_it(
    run: Run, box: Home, install_here: Callable[[bytes], Installed], toy: bundles.Draft
) -> None:
    run("threshold", "--set", "0.9", "--author", "a", "--reason", "b")
    install_here(toy.having(build=2, version="2.0.0").pack())
    assert "the bundle's own" in run("threshold")[1]
    run("rollback", "toy")
    assert "threshold 0.9, this site's" in run("threshold")[1]


def test_a_box_that_falls_back_to_another_variant_decides_by_the_bundle_s_threshold(
    run: Run, box: Home, films: Path, tmp_path: Path, toy: bundles.Draft
) -> None:
    """The threshold was set for the variant that was chosen at install."""
    run("threshold", "--set", "0.9", "--author", "a", "--reason", "b")
    own = toy.manifest.variants[0].findings["opacity"].operating_point.threshold
    for variant, threshold in (("int8", 0.9), ("float", own)):
        screen(box, active_bundle(box), (films / "000.png",), tmp_path / variant, workers=1, prefer=variant)
        with (tmp_path / variant / "readings.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["variant"], float(row["threshold"])) == (variant, pytest.approx(threshold, abs=1e-6))


def test_a_prevalence_corrects_probabilities_and_changes_no_word(
    run: Run, box: Home, films: Path, tmp_path: Path
) -> None:
    before = read(box, films, tmp_path / "first")
    assert {row["local_probability"] for row in before.values()} == {""}
    assert "no prevalence is set here; among the cases the bundle was calibrated on it is 50.0%" in run("prevalence")[1]
    code, out, _ = run("prevalence", "--set", "0.05", "--author", "Dr Amina", "--reason", "survey of 2025")
    assert (code, "prevalence 0.05, this site's" in out) == (0, True)
    after = read(box, films, tmp_path / "second")
    for name, row in after.items():
        same = ("probability", "threshold", "decision", "reasons")
        assert [row[key] for key in same] == [before[name][key] for key in same]
        expected = local_probability(float(row["probability"]), 0.5, 0.05)
        assert float(row["local_probability"]) == pytest.approx(expected, abs=1e-6)
    lines = [msgspec.json.decode(line) for line in (tmp_path / "second" / "readings.jsonl").read_bytes().splitlines()]
    assert all(0 < one["local_probability"] < one["probability"] for line in lines for one in line["findings"])
    page = (tmp_path / "second" / "report.html").read_text()
    assert "here 0.0" in page
    assert "survey of 2025" in page
    outcomes = write_outcomes(tmp_path / "found.csv", before)
    assert "prevalence 5.0% (this site's)" in run("calibrate", "--outcomes", outcomes)[1]


def test_rows_that_cannot_be_used_are_listed_and_nothing_is_recorded(
    run: Run, box: Home, films: Path, tmp_path: Path
) -> None:
    rows = read(box, films, tmp_path / "first")
    outcomes = write_outcomes(tmp_path / "found.csv", rows)
    lines = outcomes.read_text().splitlines()
    lines[3] = lines[3].replace("positive", "sick").replace("negative", "sick")
    lines[5] = f"{'f' * 64},positive"
    outcomes.write_text("\n".join(lines))
    code, _, err = run("calibrate", "--outcomes", outcomes, "--adopt", "--author", "a", "--reason", "b")
    assert code == 1
    assert "2 rows of found.csv cannot be used:\n  row 4: the outcome 'sick' is unknown." in err
    assert f"  row 6: no scan with sha256 '{'f' * 64}' was read by toy 1.0.0, variant int8." in err
    assert "hint: Correct these rows" in err
    assert tables(box)["outcome"] == tables(box)["audit"] == 0


def test_a_table_that_cannot_be_written_adopts_nothing(run: Run, box: Home, films: Path, tmp_path: Path) -> None:
    outcomes = write_outcomes(tmp_path / "found.csv", read(box, films, tmp_path / "first"))
    nowhere = tmp_path / "missing" / "all.csv"
    code, _, err = run(
        "calibrate", "--outcomes", outcomes, "--out", nowhere, *("--adopt", "--author", "a", "--reason", "b")
    )
    assert (code, f"{nowhere} cannot be written: No such file" in err) == (1, True)
    assert tables(box)["site_threshold"] == tables(box)["outcome"] == 0


def test_too_few_outcomes_are_refused(run: Run, box: Home, films: Path, tmp_path: Path) -> None:
    rows = read(box, films, tmp_path / "first")
    outcomes = write_outcomes(tmp_path / "found.csv", dict(list(rows.items())[:40]))
    code, _, err = run("calibrate", "--outcomes", outcomes, "--adopt", "--author", "a", "--reason", "b")
    assert code == 1
    assert "are of 20 people with the finding and 20 without it; a threshold needs at least 30 of either kind" in err
    assert "10 more with and 10 more without" in err
    assert tables(box)["outcome"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("threshold", "--set", "0.4"), 2, "--set needs --author NAME and --reason TEXT"),
        (("threshold", "--withdraw", "--author", "a"), 2, "--withdraw needs --author NAME and --reason TEXT"),
        (("threshold", "--set", "0.4", "--author", "a\x1b[2J", "--reason", "b"), 2, "plain text"),
        (("threshold", "--set", "0.4", "--withdraw", "--author", "a", "--reason", "b"), 2, "Either"),
        (("threshold", "--set", "1.5", "--author", "a", "--reason", "b"), 1, "A threshold of 1.5 is not possible"),
        (("prevalence", "--set", "15", "--author", "a", "--reason", "b"), 1, "15 of 100 people is 0.15"),
        (("prevalence", "--set", "0", "--author", "a", "--reason", "b"), 1, "A prevalence of 0 is not possible"),
        (("threshold", "--finding", "nodule"), 1, "There is no finding 'nodule'"),
        (("threshold", "--bundle", "other"), 1, "No bundle is installed as 'other'"),
        (("calibrate", "--outcomes", "nowhere.csv"), 1, "nowhere.csv cannot be opened"),
        (("calibrate", "--outcomes", "x.csv", "--adopt"), 2, "--adopt needs --author NAME and --reason TEXT"),
    ],
)
def test_wrong_usage_changes_nothing(run: Run, box: Home, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = run(*arguments)
    assert (found, message in err) == (code, True), err
    assert "Nothing was changed yet." in run("audit")[1]


def test_a_prevalence_outside_is_refused_before_the_file_is_matched(run: Run, tmp_path: Path) -> None:
    outcomes = tmp_path / "found.csv"
    outcomes.write_text("sha256,outcome\n")
    code, _, err = run("calibrate", "--outcomes", outcomes, "--prevalence", "1")
    assert (code, "A prevalence of 1 is not possible" in err) == (1, True)


def test_the_yields_are_not_written_over_the_outcomes(run: Run, box: Home, films: Path, tmp_path: Path) -> None:
    outcomes = write_outcomes(tmp_path / "outcomes.csv", read(box, films, tmp_path / "out"))
    before = outcomes.read_bytes()
    code, _, complaint = run("calibrate", "--outcomes", outcomes, "--out", outcomes)
    assert (code, outcomes.read_bytes()) == (2, before)
    assert "would overwrite the file of outcomes" in complaint
