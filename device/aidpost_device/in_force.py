"""What is in force: a bundle's own numbers, and in their place what the site has set for this bundle and graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.variant import Abstention, FindingNumbers, OperatingPoint, Variant
from aidpost_device.calibration.programme import Programme
from aidpost_device.errors import SettingError


class Signed(Struct, frozen=True, kw_only=True):
    """Who set something, when and why."""

    author: str
    reason: str
    at: str
    """UTC, ISO 8601, as the box's clock showed it."""

    @property
    def day(self) -> str:
        """The date."""
        return self.at[:10]


class SiteThreshold(Signed, frozen=True, kw_only=True):
    """A threshold that the site set. It means something for one graph of one bundle file, and for no other."""

    bundle_sha256: str
    variant: str
    finding: str
    threshold: float
    abstention: Abstention | None = None
    """Limits fitted around it on the site's outcomes; None where there were too few, or none were given."""
    measured: OperatingPoint | None = None
    """What it does on the site's outcomes; None where it was not chosen from outcomes."""
    programme: Programme | None = None
    """What it was chosen for; None where a person set it by hand."""


class SitePrevalence(Signed, frozen=True, kw_only=True):
    """How common a finding is at the site, whichever version of a bundle looks for it."""

    bundle: str
    """The bundle's name."""
    finding: str
    prevalence: float


class SiteSettings(Struct, frozen=True):
    """What the site has set and not withdrawn, whatever bundles it is for."""

    thresholds: tuple[SiteThreshold, ...] = ()
    prevalences: tuple[SitePrevalence, ...] = ()


class InForce(Struct, frozen=True, kw_only=True):
    """What one finding is decided by, with one graph."""

    threshold: float
    """Calibrated probability at or above which the finding is positive, in [0, 1]."""
    abstention: Abstention | None
    prior: float | None = None
    """Share of the calibration cases that have the finding; None where the probability is not corrected."""
    prevalence: float | None = None
    """Share of the people of this site who have it; None where the site gave none."""
    threshold_by: SiteThreshold | None = None
    """None where the threshold is the bundle's."""
    prevalence_by: SitePrevalence | None = None


def in_force(manifest: Manifest, bundle_sha256: str, variant: Variant, site: SiteSettings) -> dict[str, InForce]:
    """Say by what each finding is decided: label → rule.

    A threshold made for another bundle or variant is not used: the same number would mean something else there. Raises
    `SettingError` where a prevalence cannot be applied.
    """
    thresholds = {
        one.finding: one for one in site.thresholds if (one.bundle_sha256, one.variant) == (bundle_sha256, variant.name)
    }
    prevalences = {one.finding: one for one in site.prevalences if one.bundle == manifest.name}
    return {
        label: _merge(label, numbers, thresholds.get(label), prevalences.get(label))
        for label, numbers in variant.findings.items()
    }


def set_aside(manifest: Manifest, bundle_sha256: str, variant: Variant, site: SiteSettings) -> str | None:
    """Give the alarm to show while another variant of a bundle reads than the site's thresholds were made for."""
    mine = [one for one in site.thresholds if one.bundle_sha256 == bundle_sha256]
    in_use = {one.finding for one in mine if one.variant == variant.name}
    unused = [one for one in mine if one.finding not in in_use]
    if not unused:
        return None
    names = ", ".join(dict.fromkeys(one.finding for one in unused))
    return (
        f"{manifest.name} {manifest.version} reads with variant {variant.name}; this site's threshold for {names} was "
        f"set for variant {unused[-1].variant} and is not used: the bundle's own decides. Tell whoever set it."
    )


def is_set(site: SiteSettings, setting: SiteThreshold | SitePrevalence) -> bool:
    """Whether something is set in the place of which `setting` would stand."""
    if isinstance(setting, SiteThreshold):
        return any(
            (one.bundle_sha256, one.variant, one.finding) == (setting.bundle_sha256, setting.variant, setting.finding)
            for one in site.thresholds
        )
    return any((one.bundle, one.finding) == (setting.bundle, setting.finding) for one in site.prevalences)


def fingerprint(rules: Mapping[str, InForce]) -> tuple[tuple[str | float, ...], ...]:
    """Give all that makes a decision differ from the bundle's own; equal numbers give equal readings, whoever set them.

    Nothing where nothing differs.
    """
    return tuple(
        (label, *_numbers(rule))
        for label, rule in sorted(rules.items())
        if rule.threshold_by is not None or rule.prevalence_by is not None
    )


def prior_of(numbers: FindingNumbers) -> float | None:
    """Share of a bundle's calibration cases that have the finding; None where it was not counted."""
    point = numbers.operating_point
    if not point.positives or not point.negatives:
        return None
    return point.positives / (point.positives + point.negatives)


def _merge(
    label: str, numbers: FindingNumbers, threshold: SiteThreshold | None, prevalence: SitePrevalence | None
) -> InForce:
    prior = prior_of(numbers)
    if prevalence is not None and prior is None:
        raise SettingError(
            f"The bundle does not say how common {label!r} was among the cases it was calibrated on, so its "
            "probability cannot be corrected to this site's prevalence.",
            f"Withdraw it: aidpost device prevalence --bundle {prevalence.bundle} --finding {label} --withdraw",
        )
    return InForce(
        threshold=numbers.operating_point.threshold if threshold is None else threshold.threshold,
        abstention=numbers.abstention if threshold is None else threshold.abstention,
        prior=None if prevalence is None else prior,
        prevalence=None if prevalence is None else prevalence.prevalence,
        threshold_by=threshold,
        prevalence_by=prevalence,
    )


def _numbers(rule: InForce) -> Iterable[float]:
    """The numbers of a rule; -1, which no number of a rule is, stands for none."""
    band = rule.abstention
    limits = (-1.0, -1.0) if band is None else (band.low, band.high)
    return (rule.threshold, *limits, -1.0 if rule.prior is None else rule.prior, rule.prevalence or -1.0)
