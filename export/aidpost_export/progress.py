"""Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere; notes as lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 60.0
"""Seconds between two lines of one piece of work where there is no terminal (a log, a job without a screen)."""


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


class _LineBar:
    def __init__(self, reporter: Reporter, description: str, total: int) -> None:
        self._reporter, self._description, self._total = reporter, description, total
        self._begun = self._said = monotonic()
        self._done = 0

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Say a line when the last one is a while ago."""
        self._done += steps
        now = monotonic()
        if now - self._said < EVERY:
            return
        self._said = now
        left = (now - self._begun) / self._done * (self._total - self._done) if self._done else 0.0
        said = f"{self._description}: {self._done} of {self._total}, about {left / 60:.0f} min left"
        self._reporter.note(f"{said}; {detail}" if detail else said)


class ConsoleReporter:
    """Bars and lines on stderr, so that stdout stays data."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """Show a bar while the work runs."""
        if not self._console.is_terminal:
            yield _LineBar(self, description, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield _RichBar(progress, description, total)
