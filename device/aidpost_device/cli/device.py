"""`aidpost device`: what the box does. Each command's module is loaded only when that command is called."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("aidpost_device.cli.audit", "List who changed what on this box."),
    "bundles": ("aidpost_device.cli.bundles", "List the bundles on this box."),
    "calibrate": ("aidpost_device.cli.calibrate", "Choose a threshold from this clinic's confirmed outcomes."),
    "install": ("aidpost_device.cli.bundles", "Check a bundle, try it out, and make it the active one."),
    "prevalence": ("aidpost_device.cli.site", "Show or set how common a finding is here."),
    "rollback": ("aidpost_device.cli.bundles", "Return to the bundle that was active before."),
    "screen": ("aidpost_device.cli.screen", "Read stored scans and say whom to refer."),
    "threshold": ("aidpost_device.cli.site", "Show or set the threshold of this clinic."),
    "trust": ("aidpost_device.cli.trust", "Say whose bundles this box accepts."),
}
"""Command → its module, which holds it under its own name, and its line in the help."""


class DeviceCommands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=DeviceCommands)
def device() -> None:
    """Install bundles and screen scans on this box."""
