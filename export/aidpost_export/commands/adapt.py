"""`aidpost export adapt`."""

from __future__ import annotations

import os
from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("recipe")
@click.option("--data", type=_FOLDER, required=True, help="Folder with index.csv and the scans.")
@click.option("--base", required=True, help='Folder of the pretrained base or of an earlier run, or "random".')
@click.option("--architecture", default="mobilenet-v2", show_default=True, help="Backbone for --base random.")
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the run.")
@click.option("--limit", type=click.IntRange(20), help="Use at most this many labelled training cases.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the cut and the training.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="What trains."
)
@click.option("--threads", type=click.IntRange(1), help="Threads; by default the cores that are free now.")
@click.option("--skip-bad", is_flag=True, help="Leave out the rows that the checks refuse, and record it.")
@click.option("--control", is_flag=True, help="Also train from random weights, to see what transfer is worth.")
def adapt(
    recipe: str,
    data: Path,
    base: str,
    architecture: str,
    run: Path,
    limit: int | None,
    seed: int,
    device: str,
    threads: int | None,
    skip_bad: bool,
    control: bool,
) -> None:
    """Adapt a pretrained model to local scans.

    RECIPE is the name of a recipe (see `aidpost export recipes`) or a folder with recipe.toml and CARD.md.
    An interrupted run goes on where it stopped when the same command is given again.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads leave the cores to others
    from aidpost_export.adapt import adapt as run_adapt
    from aidpost_export.progress import ConsoleReporter
    from aidpost_export.recipe import load_recipe

    folder = run_adapt(
        load_recipe(recipe),
        data,
        None if base == "random" else Path(base),
        run,
        reporter=ConsoleReporter(),
        limit=limit,
        seed=seed,
        device=device,
        threads=threads,
        skip_bad=skip_bad,
        control=control,
        architecture=architecture,
    )
    click.echo(f"The adapted network is in {folder.path}.")
    click.echo(f"Next: aidpost export evaluate {folder.path}")
