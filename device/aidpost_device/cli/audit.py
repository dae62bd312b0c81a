"""`aidpost device audit`: who changed what on this box."""

from __future__ import annotations

import click


@click.command()
def audit() -> None:
    """List who changed what on this box.

    One line for each change, the oldest first: number, time (UTC, as this box's clock showed it), author, what was done
    and to what, details, and the first letters of the row's digest, which the next row contains.
    """
    from aidpost_device.home import Home
    from aidpost_device.store.store import Store

    home = Home.locate()
    with Store(home.store_file) as store:
        rows = store.audit()
    if not rows:
        click.echo("Nothing was changed yet.")
    for row in rows:
        click.echo(f"{row.id}  {row.at}  {row.author}  {row.action}  {row.subject}  {row.details}  {row.sha256[:16]}")
