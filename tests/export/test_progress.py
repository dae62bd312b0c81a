"""Progress where there is no terminal: a line now and then, and nothing for short work."""

from __future__ import annotations

import pytest

from aidpost_export import progress
from aidpost_export.progress import ConsoleReporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_long_work_says_a_line_a_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with ConsoleReporter().bar("Fine-tuning", 10) as bar:
        for _ in range(4):
            clock[0] += 50
            bar.advance(1, "tuning loss 0.200")
    assert capsys.readouterr().err.splitlines() == [
        "Fine-tuning: 2 of 10, about 7 min left; tuning loss 0.200",
        "Fine-tuning: 4 of 10, about 5 min left; tuning loss 0.200",
    ]


def test_short_work_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with ConsoleReporter().bar("Embedding", 10) as bar:
        for _ in range(10):
            clock[0] += 1
            bar.advance()
    assert capsys.readouterr().err == ""


def test_a_long_note_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleReporter().note("a path of many letters " * 10)
    assert len(capsys.readouterr().err.splitlines()) == 1
