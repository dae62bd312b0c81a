"""`aidpost export quantize`."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--target",
    "targets",
    type=click.Choice(["x86", "pi4", "pi5", "jetson"]),
    multiple=True,
    required=True,
    help="Kind of box; may be given several times.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the measurement.")
def quantize(run: Path, targets: tuple[str, ...], threads: int) -> None:
    """Make the device graphs of an adapted model and prove them.

    RUN is a folder that `aidpost export adapt` made. The float graph always ships; an INT8 graph ships beside it when
    it passes its gates on the calibration cases. Why a candidate was refused is recorded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads leave the cores to others
    from aidpost_export.explanations.check import why_no_map
    from aidpost_export.explanations.words import verdict
    from aidpost_export.progress import ConsoleReporter
    from aidpost_export.run import RunFolder
    from aidpost_export.summary import print_variants
    from aidpost_export.variants import make_variants

    folder = RunFolder(run)
    made = make_variants(folder, targets, ConsoleReporter(), threads=threads)  # type: ignore[arg-type]
    print_variants(made)
    click.echo(verdict(why_no_map(folder, [one for found in made.values() for one in found.variants])))
    click.echo(f"Next: aidpost export pack {run} --key KEY --target {targets[0]} --out FILE")
