"""Acceptances: what a bundle is packed in spite of.

Where a group of people is served worse than the recipe allows, a person has to accept it with a reason. What too few
cases leave unknown is recorded without one: it is never a pass, and nobody gets used to waving it through.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from aidpost_device.bundle.manifest import Acceptance
from aidpost_device.bundle.variant import Estimate
from aidpost_export.cautions import group_name
from aidpost_export.errors import GateError, PackError
from aidpost_export.figures import Evaluation, FindingFigures, GroupFigures, GroupSensitivity
from aidpost_export.recipe import Gates
from aidpost_export.sensitivity_gate import fewest
from aidpost_export.sentences import percent, percent_interval

GROUP, QUANTISATION = "group", "quantisation"
"""Gates, as manifests name them."""
FEWEST_WORDS = 3
"""Words below which a text is no reason."""


def require_reason(text: str) -> str:
    """Give the reason that a person wrote, without space around it. Raises `PackError` when it is none."""
    reason = " ".join(text.split())
    if len(reason.split()) < FEWEST_WORDS:
        raise PackError(
            f"--accept {text!r} gives no reason.",
            'Say in a few words why people may be served worse, such as "few women so far; films are read twice".',
        )
    return reason


def settle(
    evaluation: Evaluation, gates: Gates, shipped: Collection[str], reason: str | None
) -> tuple[Acceptance, ...]:
    """Give everything that the bundle with these variants is packed in spite of.

    Raises `GateError` when a group falls more than the recipe allows and there is no reason to accept it.
    """
    fallen = list(falls(evaluation, gates, shipped))
    if fallen and reason is None:
        listed = "".join(f"\n  {one.subject}: {one.found}" for one in fallen)
        raise GateError(
            f"Some people would be served worse than the recipe allows:{listed}",
            'Label more such cases and adapt again; or pack with --accept "reason", which bundle and card will state.',
        )
    accepted = (msgspec.structs.replace(one, reason=reason) for one in fallen)
    return (*accepted, *unjudged(evaluation, gates, shipped))


def falls(evaluation: Evaluation, gates: Gates, shipped: Collection[str]) -> Iterator[Acceptance]:
    """Find the groups whose sensitivity lies too far below that of all, by the network and by each INT8 graph.

    Where all together are too few for a sensitivity, that is such a fall: nobody knows how far.
    """
    for finding in filter(lambda one: one.refers, evaluation.findings):
        if finding.positives < gates.smallest_group:
            found = f"{finding.positives} positives, {gates.smallest_group} are needed to know any sensitivity"
            yield Acceptance(gate=GROUP, subject=f"{finding.label}: all", found=found, reason="")
        yield from _fallen(finding.label, "", finding.sensitivity, finding.groups, gates)
        for variant in evaluation.device.variants if evaluation.device else ():
            if variant.precision == "int8" and variant.name in shipped:
                own = next(one for one in variant.findings if one.label == finding.label)
                yield from _fallen(finding.label, f" by {variant.name}", own.sensitivity, own.groups, gates)


def unjudged(evaluation: Evaluation, gates: Gates, shipped: Collection[str]) -> Iterator[Acceptance]:
    """Find what too few cases leave unknown: groups that are not shown, columns that nobody filled in, gates."""
    for column in evaluation.unknown:
        yield Acceptance(gate=GROUP, subject=column, found="not known: the data do not state it", reason="")
    for column, value in evaluation.uniform.items():
        found = f"not known of anybody else: every validation case has {value!r}"
        yield Acceptance(gate=GROUP, subject=column, found=found, reason="")
    for finding in filter(lambda one: one.refers, evaluation.findings):
        yield from _hidden(finding, gates)
    for variant in evaluation.device.variants if evaluation.device else ():
        for label in dict.fromkeys(one.label for one in variant.sensitivity if variant.name in shipped):
            few = [one for one in variant.sensitivity if one.label == label and one.change is None]
            if few:
                listed = ", ".join(
                    f"{one.subject} {one.patients} of {fewest(one.allowed)}"
                    + (f" ({one.lost} of {one.positives} positives lost)" if one.lost else "")
                    for one in few
                )
                found = f"sensitivity against the float graph not judged (people with it there and needed): {listed}"
                yield Acceptance(gate=QUANTISATION, subject=f"{label}: {variant.name}", found=found, reason="")


def _fallen(
    label: str,
    graph: str,
    whole: Estimate | None,
    groups: Iterable[GroupFigures | GroupSensitivity],
    gates: Gates,
) -> Iterator[Acceptance]:
    for group in groups:
        if whole and group.value and group.sensitivity:
            fall = whole.value - group.sensitivity.value
            if fall > gates.group_fall + 1e-9:
                found = (
                    f"sensitivity{graph} {percent_interval(group.sensitivity)} of {group.positives} positives, "
                    f"{100 * fall:.1f} points below the {percent(whole.value)} of all; {100 * gates.group_fall:g} are "
                    "allowed"
                )
                yield Acceptance(gate=GROUP, subject=f"{label}: {group_name(group)}", found=found, reason="")


def _hidden(finding: FindingFigures, gates: Gates) -> Iterator[Acceptance]:
    for group in finding.groups:
        if group.value and group.sensitivity is None:
            found = f"not shown: {group.positives} positives, {gates.smallest_group} are needed"
            yield Acceptance(gate=GROUP, subject=f"{finding.label}: {group_name(group)}", found=found, reason="")
