"""Progress for people: a bar with the time left on a terminal, nothing elsewhere; notes as lines on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(Protocol):
    """One running piece of work."""

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Say that so many steps are done."""


class Reporter(Protocol):
    """Where long work says how far it is."""

    def note(self, text: str) -> None:
        """Say one line."""

    def bar(self, description: str, total: int) -> AbstractContextManager[Bar]:
        """Open a bar of `total` steps."""


class _Silent:
    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Say nothing."""


class SilentReporter:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """Open nothing."""
        del description, total
        yield _Silent()


class _RichBar:
    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, detail="")

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Move the bar."""
        self._progress.update(self._task, advance=steps, detail=detail)


class ConsoleReporter:
    """Bars and lines on stderr, so that stdout stays data."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """Show a bar while the work runs."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[detail]}"),
        )
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            yield _RichBar(progress, description, total)
