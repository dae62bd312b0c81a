"""`aidpost device screen`: read stored scans and say whom to refer."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aidpost_device.decode.fork_server import ForkServer
    from aidpost_device.screening.screen import Outcome, Progress


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="PATH…")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the table and the report.")
@click.option("--list", "lists", multiple=True, type=click.Path(path_type=Path), help="A file with one path to a line.")
@click.option("--bundle", metavar="NAME", help="The installed bundle to read with, when there are several.")
@click.option("--workers", type=click.IntRange(1, 64), help="Decode workers; one for each processor by default.")
def screen(
    paths: tuple[Path, ...], out: Path, lists: tuple[Path, ...], bundle: str | None, workers: int | None
) -> None:
    """Read stored scans and say whom to refer.

    Each PATH is a file or a folder with all that is below it; hidden files are left out, and links inside folders are
    named but not followed. OUT gets readings.csv, readings.jsonl and report.html. A run that was cut goes on where it
    was when the same command is given again.
    """
    if not paths and not lists:
        raise click.UsageError("Name at least one file or folder, or a list with --list.")
    # The first thing of all: the decoders load in a process of their own, while this one loads the rest.
    from aidpost_device.decode.fork_server import ForkServer

    with ForkServer() as server:
        _screen(paths, out, lists, bundle, workers, server)


def _screen(
    paths: tuple[Path, ...],
    out: Path,
    lists: tuple[Path, ...],
    bundle: str | None,
    workers: int | None,
    server: ForkServer,
) -> None:
    from aidpost_device.bundle.admit import expiry_alarm
    from aidpost_device.bundle.install import active_bundle, active_variant
    from aidpost_device.clock import today
    from aidpost_device.errors import StoppedError
    from aidpost_device.home import Home
    from aidpost_device.screening.screen import screen as run
    from aidpost_device.screening.source import read_list

    home = Home.locate()
    active = active_bundle(home, bundle)
    manifest = active.manifest
    if alarm := expiry_alarm(manifest, today()):
        click.echo(f"aidpost: {alarm}", err=True)
    with _stoppable() as stop, progress_bar("screening") as progress:
        outcome = run(
            home,
            active,
            paths,
            out,
            listed=[path for one in lists for path in read_list(one)],
            workers=workers,
            prefer=active_variant(home, manifest.name),
            progress=progress,
            stop=stop,
            server=server,
        )
    click.echo(f"{manifest.name} {manifest.version}, variant {outcome.variant}")
    if outcome.alarm:
        click.echo(f"aidpost: {outcome.alarm}", err=True)
    if manifest.provenance.synthetic:
        click.echo("made from generated images: for practice only, not for people")
    _summarise(outcome, out)
    if not outcome.complete:
        raise StoppedError(
            f"stopped: {outcome.unread} of {outcome.files} files are not read yet.",
            "Give the same command again to go on; what was read is kept.",
        )


def _summarise(outcome: Outcome, out: Path) -> None:
    """Say how many of what, by study and by file."""
    from aidpost_device.report.rank import ORDER

    digest = outcome.digest
    studies = digest.studies
    click.echo(f"{'':10} {'studies':>8} {'files':>8}")
    for word in ORDER:
        click.echo(f"{word:10} {studies[word]:>8} {digest.decided[word]:>8}")
    click.echo(f"{'rejected':10} {'':>8} {sum(digest.reasons.values()):>8}")
    for reason, count in digest.reasons.most_common():
        click.echo(f"  {count} {reason}")
    rate = f", {outcome.read / outcome.seconds:.1f} a second" if outcome.read > 1 else ""
    before = f"; {outcome.before} were done before" if outcome.before else ""
    click.echo(f"{outcome.read} files in {outcome.seconds:.1f} s{rate}{before}")
    click.echo(f"report: {out / 'report.html'}")


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to finish what is begun; the second one ends at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        del frame
        asked = True
        signal.signal(number, signal.default_int_handler)
        click.echo("aidpost: finishing the files that are begun; once more to stop at once.", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_bar(work: str) -> Iterator[Progress | None]:
    """Show a bar with rate and time left where there is a terminal; file names are nobody's business there."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(work),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        def show(done: int, files: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=files, rate=f"{speed:.1f} a second" if speed else "")

        yield show
