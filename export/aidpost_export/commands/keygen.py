"""`aidpost export keygen`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--comment", default="", help="What people call the key; plain letters.")
def keygen(path: Path, comment: str) -> None:
    """Make a pair of signing keys: PATH, which stays here, and PATH.pub, which goes to the boxes.

    Whoever holds PATH can sign bundles that the boxes accept. Keep a copy in a safe: it cannot be made again.
    """
    from aidpost_device.bundle.signature import write_keypair

    fingerprint = write_keypair(path, comment)
    click.echo(f"Private key: {path} (readable by you alone)")
    click.echo(f"Public key:  {path}.pub")
    click.echo(f"Fingerprint: {fingerprint}")
    click.echo("Read the fingerprint to the technician over the phone when the box is set up.")
