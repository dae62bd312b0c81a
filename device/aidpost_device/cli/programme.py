"""The options that say what a programme needs, for the box's command and the workstation's."""

from __future__ import annotations

from collections.abc import Callable

import click


def programme_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the people and tests of a day, the costs, and the strata."""
    for option in (
        click.option(
            "--by", multiple=True, type=click.Choice(["age", "sex"]), help="Show the figures by age band or sex too."
        ),
        click.option("--cost-missed", type=float, help="Cost of one missed case, in the same currency."),
        click.option("--cost-test", type=float, help="Cost of one confirmatory test."),
        click.option("--tests-per-day", type=float, help="Confirmatory tests that can be done a day."),
        click.option("--people-per-day", type=float, help="People screened a day."),
    ):
        command = option(command)
    return command
