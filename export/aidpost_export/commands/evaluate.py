"""`aidpost export evaluate`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Folder with other scans that the detectors of the device graphs are tried on; may be given several times.",
)
def evaluate(run: Path, against: tuple[Path, ...]) -> None:
    """Measure the adapted model on the validation cases.

    RUN is a folder that `aidpost export adapt` made. Temperature and thresholds are chosen on its calibration cases;
    the figures come from its validation cases only. Writes evaluation.json, plots/ and report.html into RUN.
    """
    from aidpost_export.evaluate import evaluate as run_evaluate
    from aidpost_export.progress import ConsoleReporter
    from aidpost_export.run import RunFolder
    from aidpost_export.summary import print_summary

    evaluation = run_evaluate(RunFolder(run), ConsoleReporter(), against)
    print_summary(evaluation)
    click.echo(f"The report is in {run / 'report.html'}; every figure stands in {run / 'evaluation.json'}.")
    click.echo(f"Next: aidpost export quantize {run} --target TARGET")
