"""The programme: whom a threshold is chosen for, and what its tests and its misses cost."""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from aidpost_device.errors import SettingError


class Programme(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a screening programme has to live with. Raises `SettingError` for a number that cannot be meant."""

    prevalence: float
    """Share of the people screened who have the finding, in (0, 1)."""
    people_per_day: float | None = None
    """People screened a day."""
    tests_per_day: float | None = None
    """Confirmatory tests that can be done a day."""
    cost_test: float | None = None
    """Cost of one confirmatory test, in any currency."""
    cost_missed: float | None = None
    """Cost of one missed case, in the same currency."""

    def __post_init__(self) -> None:
        require_prevalence(self.prevalence)
        for name in ("people_per_day", "tests_per_day", "cost_test", "cost_missed"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise SettingError(
                    f"The {name.replace('_', ' ')} cannot be {value:g}.",
                    f"Give a number above 0 with --{name.replace('_', '-')}, or leave it out.",
                )
        _require_partner(self, "tests_per_day", "people_per_day", "how many people are screened a day")
        _require_partner(self, "cost_missed", "cost_test", "what a test costs")

    @property
    def capacity(self) -> float | None:
        """Share of the people screened who can be tested; None where the tests are not limited."""
        if self.tests_per_day is None or self.people_per_day is None:
            return None
        return self.tests_per_day / self.people_per_day

    @property
    def weighs_costs(self) -> bool:
        """Whether tests and misses can be weighed against each other."""
        return self.cost_test is not None and self.cost_missed is not None


def require_prevalence(prevalence: float) -> float:
    """Pass on a prevalence. Raises `SettingError` for one outside of (0, 1)."""
    if not 0.0 < prevalence < 1.0:  # also what is no number
        hint = "Give the share of the people screened who have the finding, between 0 and 1 and neither"
        if 1.0 <= prevalence < 100.0:
            hint += f"; {prevalence:g} of 100 people is {prevalence / 100:g}"
        raise SettingError(f"A prevalence of {prevalence:g} is not possible.", f"{hint}.")
    return prevalence


def _require_partner(programme: Programme, name: str, partner: str, what: str) -> None:
    if getattr(programme, name) is not None and getattr(programme, partner) is None:
        raise SettingError(
            f"The {name.replace('_', ' ')} mean nothing without {what}.", f"Add --{partner.replace('_', '-')}."
        )
