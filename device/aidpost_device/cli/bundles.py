"""`aidpost device install | bundles | rollback`: what this box screens with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import date

    from aidpost_device.bundle.install import Entry, Prepare
    from aidpost_device.bundle.manifest import ImageInput
    from aidpost_device.decode.pool import DecodePool


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--preview", is_flag=True, help="Only show what would change on the scans that were read last.")
@click.option("--last", type=click.IntRange(1), metavar="K", help="Scans that the preview reads, 200 by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the preview's table and whole result.")
@click.option("--without-preview", is_flag=True, help="Make it active although no preview was made.")
@click.option("--author", help="Who makes it active without a preview.")
@click.option("--reason", help="Why it is made active without a preview.")
def install(
    file: Path,
    preview: bool,
    last: int | None,
    out: Path | None,
    without_preview: bool,
    author: str | None,
    reason: str | None,
) -> None:
    """Check a bundle, try it out, and make it the active one.

    The bundle that was active before is kept: `aidpost device rollback NAME` returns to it. Where that one has read
    scans, make a preview first: with --preview the new bundle reads the last of them, nothing is installed, and what
    would change is shown.
    """
    if preview:
        if without_preview:
            raise click.UsageError("--preview and --without-preview exclude each other.")
        show_preview(file, last, out)
        return
    if last is not None or out is not None:
        raise click.UsageError("--last and --out belong to --preview.")
    from aidpost_device.cli.site import require_signed

    _install(file, require_signed(without_preview, author, reason, "--without-preview"))


def _install(file: Path, signed: tuple[str, str] | None) -> None:
    from aidpost_device.bundle import install as installation
    from aidpost_device.bundle.container import FILE_LIMIT
    from aidpost_device.clock import today
    from aidpost_device.engine import host_target
    from aidpost_device.home import Home
    from aidpost_device.in_force import Signed
    from aidpost_device.incoming import read_incoming
    from aidpost_device.store.readings import now as recorded_now

    data, now = read_incoming(file, FILE_LIMIT), today()
    override = Signed(author=signed[0], reason=signed[1], at=recorded_now()) if signed else None
    with decoding() as prepare:
        done = installation.install(
            Home.locate(), data, now, prepare=prepare, target=host_target(), without_preview=override
        )
    manifest = done.manifest
    title = f"{manifest.name} {manifest.version} (build {manifest.build})"
    if not done.changed:
        click.echo(f"{title} is active already; nothing was changed.")
        return
    click.echo(f"{title} is installed and active, with variant {done.variant}.")
    if manifest.provenance.synthetic:
        click.echo("It was made from generated images: for practice only, not for people.")
    if now is None:
        click.echo("The clock is not set, so no expiry was checked.")
    if done.previous:
        click.echo(f"To return to {done.previous.version}: aidpost device rollback {manifest.name}")


@click.command()
def bundles() -> None:
    """List the bundles on this box."""
    from aidpost_device.bundle.install import entries
    from aidpost_device.clock import today
    from aidpost_device.home import Home

    listed = entries(Home.locate())
    if not listed:
        click.echo("No bundle is installed. Install one: aidpost device install FILE")
    now = today()
    for name, group in groupby(listed, key=lambda entry: entry.name):
        click.echo(name)
        for entry in group:
            for line in _lines(entry, now):
                click.echo(f"  {line}")


@click.command()
@click.argument("name")
def rollback(name: str) -> None:
    """Return to the bundle that was active before.

    Model, thresholds and calibration go back together; doing it again undoes it.
    """
    from aidpost_device.bundle import install as installation
    from aidpost_device.home import Home

    active, left = installation.rollback(Home.locate(), name)
    click.echo(f"{name} {active.version} (build {active.build}) is active again, instead of {left.version}.")


def show_preview(file: Path, last: int | None, out: Path | None) -> None:
    """Read the last stored scans with a bundle that is not installed, and say what would change."""
    from aidpost_device.bundle.container import FILE_LIMIT
    from aidpost_device.cli.screen import progress_bar
    from aidpost_device.clock import today
    from aidpost_device.engine import host_target
    from aidpost_device.home import Home
    from aidpost_device.incoming import read_incoming
    from aidpost_device.preview import outcome, shadow

    home, data = Home.locate(), read_incoming(file, FILE_LIMIT)
    with decoding() as prepare, progress_bar("reading") as progress:
        made = shadow.preview(
            home,
            data,
            today(),
            last=last or shadow.LAST,
            prepare=prepare,
            target=host_target(),
            progress=progress,
        )
    for line in outcome.lines(made):
        click.echo(line)
    if out is not None:
        outcome.write_preview(made, out)
        click.echo(f"\nall of it: {out / outcome.TABLE}, {out / outcome.DOCUMENT}")
    shadow.record(home, made)
    click.echo(f"\nNothing was changed. To make it active: aidpost device install {file}")


@contextmanager
def decoding() -> Iterator[Prepare]:
    """Prepare golden inputs as every scan is: in a decode worker with limits, started when the first one comes."""
    with ExitStack() as stack:

        @cache
        def pool(spec: ImageInput) -> DecodePool:
            from aidpost_device.decode.limits import DEFAULT_LIMITS
            from aidpost_device.decode.pool import DecodePool

            return stack.enter_context(DecodePool(1, spec, DEFAULT_LIMITS))

        yield lambda name, data, spec: pool(spec).prepare(name, data)


def _lines(entry: Entry, now: date | None) -> Iterator[str]:
    """Describe one installed bundle: what it is, then what is wrong with it."""
    from aidpost_device.bundle.acceptances import acceptances_line
    from aidpost_device.bundle.admit import expiry_alarm

    slot, manifest = entry.slot, entry.manifest
    if slot:
        state = "active" if entry.active else "previous"
        expires = f"  expires {manifest.expires or 'never'}  key {entry.key}" if manifest else ""
        yield f"{state:<9} {slot.version}  build {slot.build}  {slot.variant}{expires}"
    if entry.problem:
        yield f"cannot be used: {entry.problem}"
        yield f"hint: {entry.problem.hint}"
    if manifest and entry.active and (alarm := expiry_alarm(manifest, now)):
        yield alarm
    if manifest and (accepted := acceptances_line(manifest)):
        yield accepted
    if manifest and manifest.provenance.synthetic:
        yield "made from generated images: for practice only, not for people"
