"""The evaluation on a terminal: one row per finding, and what to know before trusting it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aidpost_device.bundle.variant import Estimate
from aidpost_export.figures import Evaluation
from aidpost_export.sentences import number, percent, signed
from aidpost_export.statistics import Interval

if TYPE_CHECKING:
    from aidpost_device.engine import Target
    from aidpost_export.variant_record import TargetVariants


def print_summary(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print the figures of the validation cases, each above its 95 % interval."""
    out = console or Console()
    table = Table(
        title=f"{evaluation.title}, on the validation cases",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    controlled = any(finding.control for finding in evaluation.findings)
    shares = {finding.prevalence for finding in evaluation.findings if finding.prevalence is not None}
    alike = next(iter(shares)) if len(shares) == 1 else None
    heads = ["AUROC", "sensitivity", "specificity", "PPV" if alike is None else f"PPV at {percent(alike)}"]
    table.add_column("finding", overflow="fold", min_width=9)
    for head in [*heads, "from scratch"] if controlled else heads:
        table.add_column(head, justify="right", min_width=9)
    for finding in evaluation.findings:
        cells = [
            _two_lines(finding.auroc, number),
            _two_lines(finding.sensitivity, percent),
            _two_lines(finding.specificity, percent),
            _two_lines(finding.positive_predictive_value, percent),
        ]
        if alike is None and finding.prevalence is not None:
            cells[-1] = f"{cells[-1]}\nat {percent(finding.prevalence)}"
        if controlled:
            cells.append(_two_lines(finding.control.auroc if finding.control else None, number))
        table.add_row(Text(f"{finding.name}\n{finding.positives} of {finding.cases}"), *map(Text, cells))
    out.print(table)
    for caution in evaluation.cautions:
        out.print(Padding(Text(f"! {caution.text}"), (0, 0, 0, 1)), style="yellow")


def print_variants(made: Mapping[Target, TargetVariants], console: Console | None = None) -> None:
    """Print what ships to each target and why a candidate does not."""
    out = console or Console()
    for target, found in made.items():
        table = Table(title=f"Device graphs for {target}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for head in ("graph", "AUROC change", "verdicts flipped", "speed", "ships"):
            table.add_column(head, justify="left" if head in ("graph", "ships") else "right", overflow="fold")
        for one in found.attempts:
            speed = f"{one.speed:.2f}x" if one.speed else "the box decides"
            ships = "no: " + "; ".join(one.refusals) if one.refusals else "yes"
            name = f"{one.name}, {one.calibration}, float stages: {one.float_stages}"
            table.add_row(name, signed(one.auroc_change), percent(one.flips), speed, ships)
        table.add_row("float32", "", "", "", "yes")
        out.print(table)
        for change in found.attempts[-1].sensitivity if found.attempts and not found.attempts[-1].refusals else ():
            if not change.column:
                out.print(Text(f"{found.attempts[-1].name}, sensitivity for {change.label}, {change.words}."))
        if found.note:
            out.print(Text(found.note))


def _two_lines(figure: Interval | Estimate | None, write: Callable[[float], str]) -> str:
    """A figure with its interval below."""
    return f"{write(figure.value)}\n{write(figure.low)}\N{EN DASH}{write(figure.high)}" if figure else "\N{EN DASH}"
