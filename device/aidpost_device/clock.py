"""The box's calendar. Boards without a clock battery start in the past, and then no date may be believed."""

from __future__ import annotations

from datetime import UTC, date, datetime

FIRST_YEAR = 2025
"""Year this program was first built in: a clock that shows an earlier one was never set."""


def today() -> date | None:
    """Give today's date in UTC, or None when the clock is not set."""
    return believable(datetime.now(UTC).date())


def believable(shown: date) -> date | None:
    """Pass on the date that a clock shows, or None when that clock cannot have been set."""
    return shown if shown.year >= FIRST_YEAR else None
