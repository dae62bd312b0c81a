"""Yields on a terminal: a few thresholds in a table, the chosen one in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.choice import Choice
from aidpost_device.calibration.strata import Stratum
from aidpost_device.calibration.words import amount, percent, reason, stratum_line, told, warnings
from aidpost_device.calibration.yields import Amount, Curve, Yield

_NONE = "\N{EN DASH}"


def print_yields(title: str, curve: Curve, thresholds: Sequence[float], marks: Mapping[float, str]) -> None:
    """Print what some thresholds do, each figure above its 95 % interval; `marks` names those that stand out."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    heads = ["threshold", "flagged", "sensi-\ntivity", "speci-\nficity", "PPV", "NPV", "tests\n/case"]
    heads += ["missed\n/1000"]
    heads += ["cost\n/case"] if curve.programme.cost_test is not None else []
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:
        table.add_column(head, justify="right", overflow="fold")  # on a narrow terminal no digit is cut off
    for threshold in thresholds:
        figures = curve.at(threshold)
        cells = [f"{threshold:.3f}\n{marks.get(threshold, '')}", *_shares(figures)]
        cells += [_amount(figures.tests_per_case), _amount(figures.missed)]
        cells += [_amount(figures.cost_per_case)] if curve.programme.cost_test is not None else []
        table.add_row(*map(Text, cells))
    Console().print(table)


def print_choice(choice: Choice, curve: Curve, cases: str) -> None:
    """Say which threshold was chosen on some cases, and why."""
    click.echo(f"On {cases} the threshold {choice.threshold:.3f} is chosen: {reason(choice, curve)}.")
    for line in warnings(choice):
        click.echo(line)


def print_told(curve: Curve, threshold: float, name: str, strata: Sequence[Stratum] = ()) -> None:
    """Say in words what a threshold does; `name` is the finding's display name."""
    for line in (*told(curve.at(threshold), curve, name), *map(stratum_line, strata)):
        click.echo(f"  {line}")


def _shares(figures: Yield) -> list[str]:
    shares = (figures.flagged, figures.sensitivity, figures.specificity)
    return [_share(one) for one in (*shares, figures.positive_predictive_value, figures.negative_predictive_value)]


def _share(figure: Estimate | None) -> str:
    return _NONE if figure is None else f"{percent(figure.value)}\n{_ends(percent(figure.low), percent(figure.high))}"


def _amount(figure: Amount | None) -> str:
    return _NONE if figure is None else f"{amount(figure.value)}\n{_ends(amount(figure.low), amount(figure.high))}"


def _ends(low: str, high: str) -> str:
    return f"{low.removesuffix('%')}\N{EN DASH}{high.removesuffix('%')}"
