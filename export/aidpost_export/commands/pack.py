"""`aidpost export pack`."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--key", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="Private signing key."
)
@click.option(
    "--target",
    "targets",
    type=click.Choice(["x86", "pi4", "pi5", "jetson"]),
    multiple=True,
    required=True,
    help="Kind of box the bundle is for; may be given several times.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The bundle file.")
@click.option("--name", help="Name of the bundle on the boxes; by default the recipe's.")
@click.option("--version", default="1.0.0", show_default=True, help="Version for people.")
@click.option("--build", type=click.IntRange(1), help="Counter that must grow; by default the minutes since 2020.")
@click.option("--site", default="", help="Where it is to be used.")
@click.option("--accept", metavar="REASON", help="Why people in some group may be served worse than the recipe allows.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which boxes install it.")
def pack(
    run: Path,
    key: Path,
    targets: tuple[str, ...],
    out: Path,
    name: str | None,
    version: str,
    build: int | None,
    site: str,
    expires: date | None,
    accept: str | None,
) -> None:
    """Pack a signed bundle for the boxes: graphs, golden vectors, card, evidence and bill of materials.

    RUN is a folder that `aidpost export adapt` made; it is quantised and evaluated first where that was not done.
    It refuses when a group of people is served worse than the recipe allows, unless --accept gives a reason, which
    the bundle and its card then state.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads leave the cores to others
    from aidpost_device.bundle.acceptances import unjudged_line
    from aidpost_device.bundle.signature import load_private
    from aidpost_device.durable import write_durably
    from aidpost_export.pack import Label, default_build, require_folder
    from aidpost_export.pack import pack as run_pack
    from aidpost_export.progress import ConsoleReporter
    from aidpost_export.run import RunFolder

    require_folder(out)
    label = Label(name, version, build or default_build(), site, expires.strftime("%Y-%m-%d") if expires else None)
    packed = run_pack(
        RunFolder(run),
        load_private(key),
        targets,  # type: ignore[arg-type]
        label,
        ConsoleReporter(),
        accept=accept,
    )
    write_durably(out, packed.content)
    manifest = packed.manifest
    click.echo(f"{out}: {manifest.name} {manifest.version}, build {manifest.build}, {len(packed.content) / 1e6:.1f} MB")
    for target, variants in manifest.targets.items():
        click.echo(f"  {target}: {', '.join(variants)}")
    for one in manifest.acceptances:
        if one.reason:
            click.echo(f"  accepted: {one.subject}: {one.found}")
    if line := unjudged_line(manifest):
        click.echo(f"  {line}: the card and the box's report list them")
    click.echo(f"Next, on a box: aidpost device install {out}")
