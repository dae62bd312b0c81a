"""The demo goes the whole way on a few films, by the commands it shows, and can be told again."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from aidpost_export.commands.demo import demo
from aidpost_export.demo.story import ARCHIVE, Own, Scale, Told, tell
from aidpost_export.demo.stray import STRAY, write_stray
from aidpost_export.demo.summary import closing_words, stray_table, worth_table
from aidpost_export.demo.worth import Worth, measure_worth
from aidpost_export.evaluate import read_evaluation
from aidpost_export.progress import SilentReporter
from aidpost_export.statistics import Interval

FEW = Scale(large=160, clinic=80, measured=80, archive=8)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def told(out: Path) -> Told:
    return tell(out, None, FEW, limit=80, reporter=SilentReporter())


def test_every_stop_of_the_way_is_left_behind(told: Told, out: Path) -> None:
    for name in (
        "large/index.csv",
        "clinic/index.csv",
        "base/model.safetensors",
        "run/control/logits.npy",
        "run/evaluation.json",
        "run/report.html",
        "keys/demo.key.pub",
        "demo.aidpost",
        "home/store.sqlite3",
        "results/readings.csv",
        "results/report.html",
    ):
        assert (out / name).is_file(), name
    assert told.run.record().synthetic


def test_every_stored_file_has_its_row_and_stray_ones_their_reason(told: Told, out: Path) -> None:
    with (told.results / "readings.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert set(rows) == {path.name for path in (out / ARCHIVE).rglob("*.*")}
    answers = {name: (rows[name]["decision"], rows[name]["reasons"]) for name in STRAY}
    assert answers["truncated.dcm"] == ("REJECTED", "truncated")
    assert answers["empty.dcm"] == ("REJECTED", "empty")
    assert answers["notes.txt"] == ("REJECTED", "not-an-image")
    assert answers["head-ct.dcm"] == ("REJECTED", "modality-not-accepted")
    assert answers["lateral.dcm"] == ("REPEAT", "view-not-accepted")
    assert answers["blank.png"] == ("REPEAT", "blank")
    films = [row for name, row in rows.items() if name not in STRAY]
    assert len(films) == FEW.archive
    assert {row["decision"] for row in films} <= {"REFER", "CLEAR", "UNSURE"}


def test_the_table_compares_the_same_cases_read_by_each_network(told: Told) -> None:
    rows = measure_worth(told.run, told.base, read_evaluation(told.run))
    assert [row.name for row in rows[:3]] == ["base as it came", "from scratch", "adapted"]
    assert [row.labels for row in rows[:3]] == [0, 80, 80]
    for row in rows:
        assert row.auroc is not None
        assert 0 <= row.auroc.low <= row.auroc.value <= row.auroc.high <= 1
    assert worth_table(rows, "Consolidation", 80).row_count == len(rows)


def test_the_last_words_name_what_is_there(told: Told) -> None:
    text = "\n".join(closing_words(told, 120))
    assert "synthetic" in text
    assert "2.0 minutes" in text
    for path in (told.run.path / "report.html", told.results / "report.html", told.results / "readings.csv"):
        assert str(path.resolve()) in text
        assert path.is_file()
    assert stray_table(told).row_count == len(STRAY)


def test_told_again_it_takes_up_what_is_there(told: Told, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (out / "run" / "model.safetensors").stat().st_mtime_ns
    tell(out, None, FEW, limit=80, reporter=SilentReporter())
    assert (out / "run" / "model.safetensors").stat().st_mtime_ns == weights
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("$ aidpost")]
    assert [" ".join(line.split()[2:4]) for line in shown] == [
        "export adapt",
        "export adapt",
        "device trust",
        "device install",
        "device screen",
    ]


def test_the_same_way_is_gone_with_scans_of_ones_own(told: Told, out: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    shutil.copytree(out / "recipes" / "phantom-clinic", recipe)
    text = (recipe / "recipe.toml").read_text()
    (recipe / "recipe.toml").write_text(re.sub(r"epochs = \d+", "epochs = 2", text))
    own = Own(out / "clinic", out / "base", str(recipe), skip_bad=False)
    mine = tell(tmp_path, own, FEW, limit=60, reporter=SilentReporter())
    assert mine.archive is None
    with (mine.results / "readings.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == FEW.measured
    assert measure_worth(mine.run, mine.base, read_evaluation(mine.run))[2].labels == 60


@pytest.mark.system
def test_at_its_full_size_transfer_is_worth_more_than_chance_explains(tmp_path: Path) -> None:
    told = tell(tmp_path, None, Scale(), limit=200, reporter=SilentReporter())
    area = {row.name: row.auroc for row in measure_worth(told.run, told.base, read_evaluation(told.run))}
    base, scratch, adapted = area["base as it came"], area["from scratch"], area["adapted"]
    assert base is not None
    assert scratch is not None
    assert adapted is not None
    assert scratch.high < adapted.low
    assert base.value + 0.04 < adapted.value
    assert adapted.high < 0.97
    with (told.results / "readings.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert (rows["photograph.png"]["decision"], rows["photograph.png"]["reasons"]) == ("REJECTED", "unlike-training")
    assert rows["blank.png"]["reasons"] == "blank"
    films = [row["decision"] for name, row in rows.items() if name not in STRAY]
    assert films.count("REJECTED") + films.count("REPEAT") <= 0.04 * len(films)


def test_the_stray_files_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(bytes(1000))
    write_stray(tmp_path / "stray", film)
    assert {path.name for path in (tmp_path / "stray").iterdir()} == set(STRAY)
    assert (tmp_path / "stray" / "truncated.dcm").stat().st_size == 500


def test_unknown_figures_are_dashes() -> None:
    table = worth_table([Worth("adapted", 20, None, None, None)], "Consolidation", 3)
    assert [list(column.cells) for column in table.columns] == [["adapted"], ["20"], ["-"], ["-"], ["-"]]
    table = worth_table([Worth("adapted", 20, Interval(value=0.9, low=0.8, high=0.95), None, None)], "x", 3)
    assert list(table.columns[2].cells) == ["0.900 (0.80-0.95)"]


def test_scans_of_ones_own_need_a_base(tmp_path: Path) -> None:
    done = CliRunner().invoke(demo, ["--out", str(tmp_path / "demo"), "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert "--data and --base go together" in done.output
    assert not (tmp_path / "demo").exists()
