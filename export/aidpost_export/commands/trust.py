"""`aidpost export trust`."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--key", type=_FILE, required=True, help="The root's private key.")
@click.option("--version", type=click.IntRange(1), required=True, help="Greater than that of the trust file before.")
@click.option("--add", "added", type=_FILE, multiple=True, help="Public key that may sign bundles; repeat for each.")
@click.option("--revoke", "revoked", type=_FILE, multiple=True, help="Public key that may no longer; repeat for each.")
@click.option("--new-root", type=_FILE, help="Private key of a new root, which takes the place of the old one.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File for the boxes.")
def trust(
    key: Path, version: int, added: tuple[Path, ...], revoked: tuple[Path, ...], new_root: Path | None, out: Path
) -> None:
    """Sign a trust file: which keys may sign bundles from now on.

    The file states the whole of the trust: name every key that may sign, not only the new ones. Boxes take it with
    `aidpost device trust update FILE`. A key that was revoked once stays revoked.
    """
    from aidpost_device.bundle.signature import fingerprint, load_private, parse_public, public_bytes
    from aidpost_device.bundle.trust import Key, Statement, sign_update
    from aidpost_device.durable import write_durably

    def read(path: Path) -> Key:
        public, comment = parse_public(path.read_bytes())
        return Key(public=public, comment=comment)

    def named(private: Path) -> Key:
        beside = private.with_name(private.name + ".pub")
        return read(beside) if beside.is_file() else Key(public=public_bytes(load_private(private)))

    root, replacement = load_private(key), load_private(new_root) if new_root else None
    statement = Statement(
        version=version,
        root=named(new_root or key),
        keys=tuple(read(path) for path in added),
        revoked=tuple(read(path) for path in revoked),
    )
    write_durably(out, sign_update(statement, root, replacement))
    click.echo(f"Trust file {out}, version {version}; root {fingerprint(statement.root.public)}.")
    for verb, keys in (("may sign", statement.keys), ("revoked", statement.revoked)):
        for one in keys:
            click.echo(f"  {verb}: {fingerprint(one.public)} {one.comment}".rstrip())
