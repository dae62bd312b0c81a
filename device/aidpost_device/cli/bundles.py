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
def install(file: Path) -> None:
    """Check a bundle, try it out, and make it the active one.

    The bundle that was active before is kept: `aidpost device rollback NAME` returns to it.
    """
    from aidpost_device.bundle import install as installation
    from aidpost_device.bundle.container import FILE_LIMIT
    from aidpost_device.clock import today
    from aidpost_device.engine import host_target
    from aidpost_device.home import Home
    from aidpost_device.incoming import read_incoming

    data, now = read_incoming(file, FILE_LIMIT), today()
    with decoding() as prepare:
        done = installation.install(Home.locate(), data, now, prepare=prepare, target=host_target())
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
