"""`aidpost device trust`: the keys whose bundles this box accepts."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def trust() -> None:
    """Say whose bundles this box accepts."""


@trust.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask: the fingerprint has been compared already.")
def add(file: Path, yes: bool) -> None:
    """Pin the first key, after its fingerprint was compared.

    FILE is the .pub file of the workstation's key. Call the person who made the key and compare the fingerprint.
    """
    from aidpost_device.bundle import signature, trust_file
    from aidpost_device.bundle.trust import pin
    from aidpost_device.home import Home
    from aidpost_device.incoming import read_incoming

    public_key, comment = signature.parse_public(read_incoming(file, signature.KEY_FILE_LIMIT))
    home = Home.locate()
    before = trust_file.load(home)
    known = pin(before, public_key, comment) == before
    click.echo(f"Fingerprint: {signature.fingerprint(public_key)}  {comment}".rstrip())
    if known:
        click.echo("This key is this box's root already; nothing was changed.")
        return
    if not yes:
        click.confirm("Does the key's owner read out the same fingerprint?", abort=True)
    trust_file.change(home, lambda current: pin(current, public_key, comment))
    click.echo("This key is now the root: this box accepts its bundles and its trust files.")


@trust.command()
@click.argument("file", type=click.Path(path_type=Path))
def update(file: Path) -> None:
    """Take over new and revoked keys from a file that the root key signed."""
    from aidpost_device.bundle import trust_file
    from aidpost_device.bundle.trust import FILE_LIMIT
    from aidpost_device.bundle.trust import update as move_forward
    from aidpost_device.home import Home
    from aidpost_device.incoming import read_incoming

    content = read_incoming(file, FILE_LIMIT)
    after = trust_file.change(Home.locate(), lambda current: move_forward(current, content))
    counts = f"keys besides the root: {len(after.keys)}, revoked: {len(after.revoked)}"
    click.echo(f"The trust is now at version {after.version}; {counts}.")


@trust.command(name="list")
def list_keys() -> None:
    """List the keys by fingerprint."""
    from aidpost_device.bundle import signature, trust_file
    from aidpost_device.home import Home

    current = trust_file.load(Home.locate())
    if current.root is None:
        click.echo("This box trusts no key yet. Pin the first one: aidpost device trust add FILE.pub")
        return
    click.echo(f"Trust, version {current.version}")
    for use, keys in (("root", (current.root,)), ("accepted", current.keys), ("revoked", current.revoked)):
        for key in keys:
            click.echo(f"  {use:<10}{signature.fingerprint(key.public)}  {key.comment}".rstrip())
