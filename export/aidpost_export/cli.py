"""`aidpost export`: the workstation's commands, each loaded only when called."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "adapt": "Adapt a pretrained model to local scans.",
    "demo": "Run the whole way on generated hospitals, or on your own scans.",
    "evaluate": "Measure the adapted model on the validation cases.",
    "keygen": "Make a pair of signing keys.",
    "pack": "Pack a signed bundle for the boxes.",
    "quantize": "Make the device graphs and prove them.",
    "recipes": "List the recipes that come with the program.",
    "threshold": "Choose an operating point for a programme.",
    "trust": "Sign a trust file: new keys and revocations for the boxes.",
}
"""Command → short help. Each stands in `commands/NAME.py` as a click command of the same name."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"aidpost_export.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup)
def export() -> None:
    """The workstation: adapt, evaluate, quantize, pack."""
