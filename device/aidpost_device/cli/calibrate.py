"""`aidpost device calibrate`: choose a threshold from this clinic's confirmed outcomes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aidpost_device.cli.programme import programme_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aidpost_device.bundle.active import ActiveFinding
    from aidpost_device.in_force import InForce
    from aidpost_device.outcomes.calibrate import By, Calibration
    from aidpost_device.outcomes.match import Matched
    from aidpost_device.store.outcomes import ScoredScan
    from aidpost_device.store.store import Store


@click.command()
@click.option("--outcomes", required=True, type=click.Path(path_type=Path), help="CSV of confirmed outcomes.")
@click.option("--bundle", metavar="NAME", help="The installed bundle, when there are several.")
@click.option("--finding", metavar="LABEL", help="The finding; by default the only one that refers.")
@click.option("--prevalence", type=float, help="Share of the people screened who have it, between 0 and 1.")
@programme_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write every threshold as CSV there.")
@click.option("--adopt", is_flag=True, help="Record the outcomes and use the chosen threshold from now on.")
@click.option("--author", help="Who adopts it.")
@click.option("--reason", help="Why.")
def calibrate(
    outcomes: Path,
    bundle: str | None,
    finding: str | None,
    prevalence: float | None,
    people_per_day: float | None,
    tests_per_day: float | None,
    cost_test: float | None,
    cost_missed: float | None,
    by: Sequence[By],
    out: Path | None,
    adopt: bool,
    author: str | None,
    reason: str | None,
) -> None:
    """Choose a threshold from this clinic's confirmed outcomes.

    The file has one row for each person: a column sha256, study, path or patient that says who, as readings.csv names
    them, and a column outcome that says positive or negative. Without --adopt nothing is changed.
    """
    from aidpost_device.bundle.active import active_finding
    from aidpost_device.calibration.programme import Programme
    from aidpost_device.cli.site import require_signed
    from aidpost_device.home import Home
    from aidpost_device.in_force import in_force
    from aidpost_device.incoming import read_incoming
    from aidpost_device.outcomes import calibrate as calibration
    from aidpost_device.outcomes.table import LIMIT
    from aidpost_device.store.store import Store

    signed = require_signed(adopt, author, reason, "--adopt")
    if out is not None and out.resolve() == outcomes.resolve():
        raise click.UsageError("--out would overwrite the file of outcomes: name another file.")
    home = Home.locate()
    active = active_finding(home, bundle, finding)
    content = read_incoming(outcomes, LIMIT)
    with Store(home.store_file) as store:
        rules = in_force(active.manifest, active.bundle_sha256, active.variant, store.site_settings())
        rule = rules[active.finding.label]
        share, whence = _prevalence(prevalence, rule, active)
        programme = Programme(
            prevalence=share,
            people_per_day=people_per_day,
            tests_per_day=tests_per_day,
            cost_test=cost_test,
            cost_missed=cost_missed,
        )
        scans = store.scored_scans(active.bundle_sha256, active.variant.name, active.finding.label)
        click.echo(f"{active.graph}: {active.finding.label}")
        matched = _match(content, outcomes, active, scans)
        found = calibration.calibrate(matched.cases, active.numbers, programme, by)
        click.echo(f"prevalence {share:.1%} ({whence})")
        _print(found, active, rule)
        if caution := calibration.partial_verification(*calibration.verified(scans, matched.cases, rule.threshold)):
            click.echo(caution)
        if out is not None:
            _write(out, found)
        if signed:
            _adopt(store, content, matched, found, active, *signed)
        else:
            click.echo("Nothing was changed. To use it, add: --adopt --author NAME --reason TEXT")


def _prevalence(given: float | None, rule: InForce, active: ActiveFinding) -> tuple[float, str]:
    """Give the prevalence that the yields are for, and where it comes from. Raises `SettingError`."""
    from aidpost_device.errors import SettingError

    if given is not None:
        return given, "given here"
    if rule.prevalence is not None:
        return rule.prevalence, "this site's"
    first = next(one for one in active.manifest.findings if one.refers)
    if active.finding is not first:  # the bundle's prevalence is that of its first finding
        raise SettingError(f"Nobody has said how common {active.finding.label} is here.", "Give --prevalence.")
    return active.manifest.prevalence, "the bundle's; give this site's with --prevalence"


def _match(content: bytes, path: Path, active: ActiveFinding, scans: Sequence[ScoredScan]) -> Matched:
    """Read the file, match it, and say what was found. Raises `OutcomeError` for the first rows that cannot be used."""
    from aidpost_device.outcomes.match import match
    from aidpost_device.outcomes.table import Question, read_outcomes, refuse

    manifest = active.manifest
    labels = tuple(one.label for one in manifest.findings)
    question = Question(active.finding.label, labels, manifest.outputs.probability == "softmax")
    table = read_outcomes(content, question)
    matched = match(table, scans, active.graph, path.absolute().parent)
    refuse(path.name, (*table.faults, *matched.faults))
    with_it = sum(case.positive for case in matched.cases)
    click.echo(
        f"{len(matched.cases)} studies with a confirmed outcome: {with_it} with the finding, "
        f"{len(matched.cases) - with_it} without"
    )
    for count, what in (
        (matched.left_out, "studies that do not count, because no scan of theirs was decided (REPEAT, or another age)"),
        (table.unanswered, "rows without an outcome yet"),
        (table.others, "rows about other findings"),
    ):
        if count:
            click.echo(f"  {what}: {count}")
    return matched


def _print(found: Calibration, active: ActiveFinding, rule: InForce) -> None:
    from aidpost_device.calibration.yield_table import readable
    from aidpost_device.cli.yields import print_choice, print_told, print_yields

    chosen, marks = found.choice.threshold, {rule.threshold: "in use", found.choice.threshold: "chosen"}
    print_yields("On these outcomes", found.curve, readable(found.curve, *marks), marks)
    print_choice(found.choice, found.curve, "these outcomes")
    print_told(found.curve, chosen, active.finding.names["en"], found.strata)
    click.echo(f"  {found.band}")
    if chosen == rule.threshold:
        click.echo("This is the threshold in use.")
    click.echo("It was chosen and measured on the same outcomes, so for new people it will do a little worse.")


def _write(out: Path, found: Calibration) -> None:
    """Write every threshold as CSV. Raises `SettingError` or `StorageFullError`."""
    from aidpost_device.calibration.yield_table import yield_csv
    from aidpost_device.durable import write_durably
    from aidpost_device.errors import SettingError

    try:
        write_durably(out, yield_csv([("outcomes", found.curve)], found.strata))
    except OSError as error:
        raise SettingError(
            f"{out} cannot be written: {error.strerror}.", "Choose another file with --out; nothing was changed."
        ) from error
    click.echo(f"every threshold: {out}")


def _adopt(
    store: Store,
    content: bytes,
    matched: Matched,
    found: Calibration,
    active: ActiveFinding,
    author: str,
    reason: str,
) -> None:
    """Record outcomes, threshold and audit row in one transaction."""
    from aidpost_device.in_force import SiteThreshold
    from aidpost_device.store.outcomes import ConfirmedOutcome, OutcomeSource
    from aidpost_device.store.readings import now

    at, label = now(), active.finding.label
    setting = SiteThreshold(
        author=author,
        reason=reason,
        at=at,
        bundle_sha256=active.bundle_sha256,
        variant=active.variant.name,
        finding=label,
        threshold=found.choice.threshold,
        abstention=found.abstention,
        measured=found.measured,
        programme=found.curve.programme,
    )
    source = OutcomeSource(author, at, hashlib.sha256(content).hexdigest())
    answers = (ConfirmedOutcome(study, label, positive) for study, positive in matched.answers.items())
    added, changed = store.adopt(source, answers, setting)
    click.echo(f"Recorded: {added} outcomes ({changed} of them in the place of an earlier answer), and the threshold.")
    click.echo("Scans that are screened from now on are decided by it. Earlier readings stay as they are.")
