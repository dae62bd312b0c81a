"""The demo's last words: what transfer was worth, what became of the stray files, where to look and what to try."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from aidpost_device.bundle.variant import Estimate
from aidpost_export.demo.story import STRAY_FOLDER, Told
from aidpost_export.demo.stray import STRAY
from aidpost_export.demo.worth import Worth
from aidpost_export.statistics import Interval


def worth_table(rows: list[Worth], finding: str, cases: int) -> Table:
    """Draw what transfer was worth, narrow enough for a terminal of 80 columns."""
    table = Table(
        title=f"{finding}: {cases} local cases that no training saw",
        caption="Sensitivity and specificity at each network's own operating point; intervals are 95 %.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("network")
    for heading in ("labels", "AUROC", "sensitivity", "specificity"):
        table.add_column(heading, justify="right")
    for row in rows:
        rates = (_share(row.sensitivity), _share(row.specificity))
        table.add_row(row.name, str(row.labels), _interval(row.auroc), *rates)
    return table


def stray_table(told: Told) -> Table:
    """Draw what became of the files that are no chest films, as `readings.csv` has it."""
    table = Table(
        title="What became of the files that are no chest films",
        caption="Of a picture without a header only its looks can say that it is none.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("file", "what it is", "answer", "reasons"):
        table.add_column(heading)
    with (told.results / "readings.csv").open(newline="", encoding="utf-8") as file:
        found = {Path(row["path"]).name: row for row in csv.DictReader(file) if f"{STRAY_FOLDER}/" in row["path"]}
    for name, what in STRAY.items():
        row = found[name]
        table.add_row(name, what, row["decision"], row["reasons"])
    return table


def closing_words(told: Told, seconds: float) -> Iterator[str]:
    """Say where everything lies and what to try next."""
    synthetic = told.archive is not None
    if synthetic:
        yield "Everything above is synthetic: it shows that the way works, and says nothing about any patient."
    yield f"It took {seconds / 60:.1f} minutes."
    yield ""
    yield f"Evaluation, for the ethics board   {(told.run.path / 'report.html').resolve()}"
    yield f"Screening report, worst first      {(told.results / 'report.html').resolve()}"
    yield f"Readings as a table                {(told.results / 'readings.csv').resolve()}"
    yield f"The signed bundle                  {told.bundle.resolve()}"
    yield "Open the reports in any browser; they are single files and load nothing from a network."
    yield ""
    yield "Try next:"
    yield f"  AIDPOST_HOME={told.home} aidpost device bundles"
    if synthetic:
        yield f"  flip a byte of {told.bundle} and install it: it is refused"
        yield f"  kill the screening of {told.archive} into a new --out with kill -9, and start it again"
    yield "  make demo DATA=DIR BASE=DIR RECIPE=NAME    on scans of your own (docs/recipes.md says how to lay them out)"


def _interval(value: Interval | None) -> str:
    return f"{value.value:.3f} ({value.low:.2f}-{value.high:.2f})" if value else "-"


def _share(value: Estimate | None) -> str:
    return f"{value.value:.2f}" if value else "-"
