"""`aidpost device threshold | prevalence`: what this site has set in the place of the bundle's own numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from aidpost_device.bundle.active import ActiveFinding
    from aidpost_device.in_force import InForce, Signed, SitePrevalence, SiteSettings, SiteThreshold


def require_signed(changes: bool, author: str | None, reason: str | None, option: str) -> tuple[str, str] | None:
    """Give author and reason of a change, None where nothing is changed. Raises `click.UsageError`."""
    if not changes:
        return None
    given = " ".join((author or "").split()), " ".join((reason or "").split())
    if not all(given):
        raise click.UsageError(f"{option} needs --author NAME and --reason TEXT: both are kept with the change.")
    if not all(text.isprintable() for text in given):
        raise click.UsageError("--author and --reason are plain text, without control characters.")
    return given


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that both commands have."""
    for option in (
        click.option("--reason", help="Why it is changed."),
        click.option("--author", help="Who changes it."),
        click.option("--finding", metavar="LABEL", help="The finding; by default the only one that refers."),
        click.option("--bundle", metavar="NAME", help="The installed bundle, when there are several."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--set", "value", type=float, help="The threshold, a probability between 0 and 1.")
@click.option("--withdraw", is_flag=True, help="Return to the bundle's own threshold.")
@_options
def threshold(
    value: float | None, withdraw: bool, bundle: str | None, finding: str | None, author: str | None, reason: str | None
) -> None:
    """Show or set the threshold of this clinic.

    It holds for the bundle and variant in use and for no other. `aidpost device calibrate` chooses one from outcomes.
    """
    from aidpost_device.errors import SettingError
    from aidpost_device.in_force import SiteThreshold

    if value is not None and not 0.0 < value < 1.0:
        raise SettingError(
            f"A threshold of {value:g} is not possible.", "Give a probability between 0 and 1 and neither."
        )

    def make(active: ActiveFinding, author: str, reason: str, at: str) -> SiteThreshold:
        return SiteThreshold(
            author=author,
            reason=reason,
            at=at,
            bundle_sha256=active.bundle_sha256,
            variant=active.variant.name,
            finding=active.finding.label,
            threshold=value or 0.0,
        )

    _run(value, withdraw, bundle, finding, author, reason, make, _tell_threshold)


@click.command()
@click.option("--set", "value", type=float, help="Share of the people screened who have it, between 0 and 1.")
@click.option("--withdraw", is_flag=True, help="Show the bundle's own probabilities only.")
@_options
def prevalence(
    value: float | None, withdraw: bool, bundle: str | None, finding: str | None, author: str | None, reason: str | None
) -> None:
    """Show or set how common a finding is here.

    Probabilities are then shown twice: as calibrated by the bundle, and corrected to this prevalence. No word changes.
    """
    from aidpost_device.calibration.programme import require_prevalence
    from aidpost_device.in_force import SitePrevalence

    if value is not None:
        require_prevalence(value)

    def make(active: ActiveFinding, author: str, reason: str, at: str) -> SitePrevalence:
        return SitePrevalence(
            author=author,
            reason=reason,
            at=at,
            bundle=active.manifest.name,
            finding=active.finding.label,
            prevalence=value or 0.0,
        )

    _run(value, withdraw, bundle, finding, author, reason, make, _tell_prevalence)


def _run(
    value: float | None,
    withdraw: bool,
    bundle: str | None,
    finding: str | None,
    author: str | None,
    reason: str | None,
    make: Callable[[ActiveFinding, str, str, str], SiteThreshold | SitePrevalence],
    tell: Callable[[ActiveFinding, InForce], tuple[str, Signed | None]],
) -> None:
    """Change what is asked for, then say what is in force."""
    if value is not None and withdraw:
        raise click.UsageError("Either --set or --withdraw.")
    signed = require_signed(value is not None or withdraw, author, reason, "--withdraw" if withdraw else "--set")
    from aidpost_device.bundle.active import active_finding
    from aidpost_device.errors import SettingError
    from aidpost_device.home import Home
    from aidpost_device.in_force import in_force, is_set
    from aidpost_device.store.readings import now
    from aidpost_device.store.store import Store

    home = Home.locate()
    active = active_finding(home, bundle, finding)
    label = active.finding.label

    def rule(site: SiteSettings) -> InForce:
        return in_force(active.manifest, active.bundle_sha256, active.variant, site)[label]

    with Store(home.store_file) as store:
        if signed:
            setting = make(active, *signed, now())
            if not withdraw:
                rule(_alone(setting))  # refused before it is recorded, where this bundle cannot apply it
                store.put_setting(setting)
            elif is_set(store.site_settings(), setting):
                store.withdraw_setting(setting)
            else:
                raise SettingError(f"Nothing is set for {label}.", "There is nothing to withdraw.")
        text, by = tell(active, rule(store.site_settings()))
    click.echo(f"{active.graph}: {label}")
    click.echo(text)
    if by is not None:
        click.echo(f"set by {by.author} on {by.day}: {by.reason}")


def _alone(setting: SiteThreshold | SitePrevalence) -> SiteSettings:
    from aidpost_device.in_force import SiteSettings, SiteThreshold

    return SiteSettings((setting,)) if isinstance(setting, SiteThreshold) else SiteSettings((), (setting,))


def _tell_threshold(active: ActiveFinding, rule: InForce) -> tuple[str, Signed | None]:
    own = active.numbers.operating_point.threshold
    if rule.threshold_by is None:
        return f"threshold {own:.4g}, the bundle's own", None
    band = "" if rule.abstention or not active.numbers.abstention else "\nno limits of UNSURE are set around it"
    return f"threshold {rule.threshold:.4g}, this site's; the bundle's own is {own:.4g}{band}", rule.threshold_by


def _tell_prevalence(active: ActiveFinding, rule: InForce) -> tuple[str, Signed | None]:
    from aidpost_device.in_force import prior_of

    prior = prior_of(active.numbers)
    among = "" if prior is None else f"; among the cases the bundle was calibrated on it is {prior:.1%}"
    if rule.prevalence is None:
        return f"no prevalence is set here{among}", None
    return f"prevalence {rule.prevalence:.4g}, this site's{among}", rule.prevalence_by
