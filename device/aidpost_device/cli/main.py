"""`aidpost`: finds the command groups, turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import click

from aidpost_device import __version__
from aidpost_device.errors import AidpostError

GROUPS = "aidpost.commands"
"""Entry-point group. Each entry's package says in its docstring what it is and in REQUIRES what its extra installs."""


class CommandGroups(click.Group):
    """The groups that are installed, each loaded only when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the groups whose extra is installed."""
        del ctx
        return sorted(name for name, entry in _entries().items() if not _missing(entry))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one group, or say which extra it needs."""
        del ctx
        entry = _entries().get(cmd_name)
        if entry is None:
            return None
        if missing := _missing(entry):
            raise AidpostError(
                f"The command group {cmd_name!r} is not installed here ({missing[0]} is missing).",
                f'Install it with: pip install "aidpost[{cmd_name}]"',
            )
        group: click.Command = entry.load()
        return group

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the groups by their packages' docstrings, importing none of them further."""
        rows = [(name, _summary(_entries()[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=CommandGroups, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aidpost")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def aidpost(debug: bool) -> None:
    """Screen stored scans offline with a model that your own hospital adapted.

    The machine assists; a person decides.
    """
    del debug


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 refused with a reason, 2 wrong usage, 70 a fault of the program."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a terminal without a letter shows a question mark instead
    try:
        code = aidpost.main(arguments, prog_name="aidpost", standalone_mode=False)
    except click.exceptions.Abort:
        _complain("stopped.")
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except AidpostError as error:
        if debug:
            raise
        _complain(str(error), error.hint)
        code = error.exit_code
    except Exception as error:  # the last net: people get a sentence, developers --debug
        if debug:
            raise
        _complain(
            f"a fault in the program: {type(error).__name__}: {error}",
            f"Run `{' '.join(('aidpost --debug', *arguments[:2]))} …` to see where, and report it.",
        )
        code = 70
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, hint: str = "") -> None:
    click.echo(f"aidpost: {message}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUPS)}


def _package(entry: EntryPoint) -> object:
    return import_module(entry.module.partition(".")[0])


def _missing(entry: EntryPoint) -> list[str]:
    required: tuple[str, ...] = getattr(_package(entry), "REQUIRES", ())
    return [name for name in required if find_spec(name) is None]


def _summary(entry: EntryPoint) -> str:
    return (_package(entry).__doc__ or "").strip().splitlines()[0]
