"""`aidpost export threshold`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from aidpost_device.cli.programme import programme_options
from aidpost_device.cli.site import require_signed


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--finding", metavar="LABEL", help="The finding; by default the only one that refers.")
@click.option("--prevalence", type=float, help="Share of the people screened who have it; by default the recipe's.")
@programme_options
@click.option("--adopt", is_flag=True, help="Choose every graph's threshold for this programme from now on.")
@click.option("--author", help="Who adopts it.")
@click.option("--reason", help="Why.")
def threshold(
    run: Path,
    finding: str | None,
    prevalence: float | None,
    people_per_day: float | None,
    tests_per_day: float | None,
    cost_test: float | None,
    cost_missed: float | None,
    by: Sequence[str],
    adopt: bool,
    author: str | None,
    reason: str | None,
) -> None:
    """Choose an operating point for a programme.

    RUN is a folder that `aidpost export adapt` made. The threshold is chosen on its calibration cases and reported on
    its validation cases. Writes threshold.csv and a plot into RUN; without --adopt nothing else is changed.
    """
    signed = require_signed(adopt, author, reason, "--adopt")
    from aidpost_device.calibration.programme import Programme
    from aidpost_device.calibration.yield_table import readable
    from aidpost_device.cli.yields import print_choice, print_told, print_yields
    from aidpost_export.operating import adopt as run_adopt
    from aidpost_export.operating import choose_operating, operating_for, plot_file, write_operating
    from aidpost_export.run import RunFolder

    folder = RunFolder(run)
    k, share = operating_for(folder, finding, prevalence)
    programme = Programme(
        prevalence=share,
        people_per_day=people_per_day,
        tests_per_day=tests_per_day,
        cost_test=cost_test,
        cost_missed=cost_missed,
    )
    found = choose_operating(folder, k, programme, by)
    chosen, shown = found.choice.threshold, readable(found.calibration, found.choice.threshold)
    for cases, curve in (("calibration", found.calibration), ("validation", found.validation)):
        title = f"{found.name}: {curve.positives} with and {curve.negatives} without, {cases} cases"
        print_yields(title, curve, shown, {chosen: "chosen"})
    print_choice(found.choice, found.calibration, "the calibration cases")
    click.echo(f"On the validation cases, where {share:.1%} of people have it:")
    print_told(found.validation, chosen, found.name, found.strata)
    write_operating(folder, found)
    click.echo(f"Every threshold stands in {run / 'threshold.csv'}; {plot_file(folder, k)} shows them.")
    if signed:
        from datetime import UTC, datetime

        run_adopt(folder, found, *signed, datetime.now(UTC).date().isoformat())
        target = f"{found.choice.target_sensitivity:.1%}"
        click.echo(f"Every graph's threshold is now chosen for a sensitivity of {target}: {run / 'programme.json'}.")
        click.echo(f"Next: aidpost export evaluate {run}, then quantize and pack")
    else:
        click.echo("Nothing else was changed. To use it, add: --adopt --author NAME --reason TEXT")
