"""`aidpost export demo`."""

from __future__ import annotations

import os
from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for everything.")
@click.option("--data", type=_FOLDER, help="Scans of your own: a folder with index.csv. Needs --base.")
@click.option("--base", type=_FOLDER, help="Pretrained base for your own scans.")
@click.option("--recipe", default="cxr-pneumonia", show_default=True, help="Recipe for your own scans.")
@click.option("--limit", type=click.IntRange(20), default=200, show_default=True, help="Local labels to adapt with.")
@click.option("--skip-bad", is_flag=True, help="Leave out the rows of your index that the checks refuse.")
def demo(out: Path, data: Path | None, base: Path | None, recipe: str, limit: int, skip_bad: bool) -> None:
    """Go the whole way once: adapt, prove, quantise, pack, sign, install, screen.

    Without --data two hospitals are generated, and everything says that it is synthetic.
    """
    if (data is None) != (base is None):
        raise click.UsageError("--data and --base go together: a folder of scans, and a base to adapt to them.")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads leave the cores to others
    from time import monotonic

    from rich.console import Console

    from aidpost_export.demo.story import Own, Scale, tell
    from aidpost_export.demo.summary import closing_words, stray_table, worth_table
    from aidpost_export.progress import ConsoleReporter

    begun = monotonic()
    own = Own(data, base, recipe, skip_bad) if data and base else None
    told = tell(out, own, Scale(), limit, ConsoleReporter())
    from aidpost_export.demo.worth import measure_worth
    from aidpost_export.evaluate import read_evaluation

    evaluation = read_evaluation(told.run)
    first = next(finding for finding in evaluation.findings if finding.refers)
    console = Console()
    console.print()
    console.print(worth_table(measure_worth(told.run, told.base, evaluation), first.name, first.cases))
    if told.archive:
        console.print()
        console.print(stray_table(told))
    click.echo("\n" + "\n".join(closing_words(told, monotonic() - begun)))
