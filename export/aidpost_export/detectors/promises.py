"""What the detectors of a graph promise, and in which words it is said when the validation cases do not bear it out."""

from __future__ import annotations

from collections.abc import Iterator

from aidpost_device.calibration.proportions import wilson
from aidpost_export.detectors.figures import DetectorFigures, SourceFigures, VariantDetectors
from aidpost_export.sentences import listed, percent, percent_interval

OTHERS = 0.99
"""Share of images of other kinds that is to be refused."""
_COUNTED = ("noise", "photographs", "generated")
"""Kinds of images that are surely none of the recipe's. Named folders may hold anything; inverted scans are hard."""


def broken_promises(figures: DetectorFigures | None) -> Iterator[tuple[str, str]]:
    """Yield a code and a sentence for every promise that was not kept."""
    for one in figures.variants if figures else ():
        yield from ((code, f"Variant {one.variant} {text}") for code, text in _broken(one, figures))


def _broken(one: VariantDetectors, figures: DetectorFigures | None) -> Iterator[tuple[str, str]]:
    for reason in one.missing:
        yield "detector-missing", f"does not look at the quality of a scan as the recipe asks: {reason}."
    if figures is None:
        return
    refused, repeated = one.good.refused, one.good.repeated
    if refused and refused.value > figures.false_refusals:
        yield (
            "false-refusals",
            f"refuses {percent_interval(refused)} of the good validation scans as unlike the training scans; at most "
            f"{percent(figures.false_refusals)} were allowed.",
        )
    if repeated and repeated.value > figures.false_repeats:
        yield (
            "false-repeats",
            f"sends back {percent_interval(repeated)} of the good validation scans; at most "
            f"{percent(figures.false_repeats)} were allowed.",
        )
    others = [source for source in one.sources if source.kind in _COUNTED and source.refused]
    total = sum(source.scans for source in others)
    found = wilson(sum(map(_count, others)), total)
    if one.distance and found and found.value < OTHERS:
        weak = [source.name for source in others if _count(source) < source.scans]
        yield (
            "other-images",
            f"refuses only {percent_interval(found)} of {total} images of other kinds, where {percent(OTHERS)} are "
            f"wanted. It reads some of: {listed(weak)}.",
        )


def _count(source: SourceFigures) -> int:
    return round(source.refused.value * source.scans) if source.refused else 0
