"""Distance and quality on the box: outputs of the graph, limits of the variant, golden outputs that cover both."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from aidpost_device.bundle.manifest import parse_manifest, serialise_manifest
from aidpost_device.bundle.variant import Distance, QualityCheck, Tolerance
from aidpost_device.bundle.verify import verify
from aidpost_device.decision import BLANK_CONTRAST, Facts, decide_finding, faults, unlike_training
from aidpost_device.engine import Engine, Prediction, output_shapes
from aidpost_device.errors import EngineError, GoldenError, ManifestError
from aidpost_device.golden import difference, open_engine, parse, serialise
from aidpost_device.in_force import InForce
from aidpost_device.reason import RETAKES, Reason

from . import bundles

TOLERANCE = Tolerance(probability=1e-3, map=1e-3, embedding=1e-3, detectors=0.01)
CHECKS = (QualityCheck(measure="blur", high=2.0, retake="blurred"), QualityCheck(measure="turn", retake="rotated"))


def prediction(distance: float, *quality: float) -> Prediction:
    return Prediction(
        probability=np.full((1, 1), 0.5, np.float32),
        map=np.ones((1, 1, 2, 2), np.float32),
        embedding=np.ones((1, 4), np.float32),
        distance=np.array([distance], np.float32),
        quality=np.array([quality], np.float32),
    )


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (prediction(40.3, 0.5, -20.0), None),  # within a hundredth of 40
        (prediction(40.5, 0.5, -20.0), "distance differs by 0.5 where 0.4 is allowed"),
        (prediction(40.0, 0.509, -20.0), None),  # within a hundredth of 1, which is more than of 0.5
        (prediction(40.0, 0.52, -20.0), "quality differs by 0.02 where 0.01 is allowed"),
        (prediction(40.0, 0.5, -20.3), "quality differs by 0.3 where 0.2 is allowed"),
        (prediction(float("nan"), 0.5, -20.0), "distance differs by nan"),
    ],
)
def test_golden_outputs_cover_both(found: Prediction, told: str | None) -> None:
    gap = difference(found, prediction(40.0, 0.5, -20.0), TOLERANCE)
    assert gap is None if told is None else gap is not None and gap.startswith(told)


def test_golden_outputs_are_written_and_read_with_both() -> None:
    manifest = bundles.draft(distance=1.0, checks=CHECKS).manifest
    shapes = output_shapes(manifest, 1)
    assert list(shapes) == ["probability", "map", "embedding", "distance", "quality"]
    random = np.random.default_rng(0)
    written = Prediction(**{name: random.random(shape).astype(np.float32) for name, shape in shapes.items()})
    again = parse(serialise(written), manifest, "golden")
    for name in shapes:
        assert np.array_equal(getattr(again, name), getattr(written, name))
    with pytest.raises(ManifestError, match="golden outputs"):
        parse(serialise(replace(written, quality=None)), manifest, "golden")


def test_a_graph_whose_distance_is_another_is_not_used() -> None:
    bundle = verify(bundles.draft(distance=1.0).pack(), bundles.TRUST)
    open_engine(bundle, "x86", lambda name, data: bundles.prepare(name, data, bundles.SPEC))
    members = dict(bundle.members)
    for variant in bundle.manifest.variants:
        for file in variant.golden.values():
            expected = parse(members[file], bundle.manifest, file)
            assert expected.distance is not None
            members[file] = serialise(replace(expected, distance=expected.distance * 1.5 + 1))
    with pytest.raises(GoldenError, match="distance differs"):
        open_engine(
            replace(bundle, members=members), "x86", lambda name, data: bundles.prepare(name, data, bundles.SPEC)
        )


def test_the_engine_gives_both() -> None:
    bundle = verify(bundles.draft(distance=1.0, checks=CHECKS).pack(), bundles.TRUST)
    pixels = np.random.default_rng(0).integers(0, 256, (3, bundles.SPEC.size, bundles.SPEC.size, 1), np.uint8)
    found = Engine.load(bundle, bundle.manifest.variants[0].name).run(pixels)
    assert found.distance == pytest.approx((found.embedding**2).sum(axis=1), rel=1e-5)
    assert found.quality is not None
    assert np.array_equal(found.quality, found.embedding[:, :2])


@pytest.mark.parametrize(
    ("distance", "limit", "unlike"), [(1.0, 2.0, False), (2.0, 2.0, False), (2.1, 2.0, True), (9.0, None, False)]
)
def test_only_what_lies_beyond_the_limit_is_unlike(distance: float, limit: float | None, unlike: bool) -> None:
    assert unlike_training(distance, None if limit is None else Distance(limit=limit)) is unlike


def test_a_limit_without_a_distance_is_no_pass() -> None:
    with pytest.raises(EngineError, match="did not measure the distance"):
        unlike_training(None, Distance(limit=1.0))


@pytest.mark.parametrize(
    ("value", "low", "high", "found"),
    [(1.0, None, None, False), (1.0, 1.0, 1.0, False), (0.9, 1.0, None, True), (1.1, None, 1.0, True)],
)
def test_a_measure_outside_its_limits_is_a_fault(
    value: float, low: float | None, high: float | None, found: bool
) -> None:
    check = QualityCheck(measure="blur", low=low, high=high, retake="blurred")
    assert faults({"blur": value}, (check, check)) == ((Reason.BLURRED,) if found else ())


def test_the_scores_of_a_blank_scan_mean_nothing() -> None:
    finding = bundles.draft().manifest.findings[0]

    def reasons(contrast: int) -> tuple[Reason, ...]:
        facts = Facts(contrast=contrast, measures={"blur": 5.0, "turn": 0.0})
        return decide_finding(
            finding, InForce(threshold=0.5, abstention=None), 0.9, facts, bundles.SPEC, CHECKS
        ).reasons

    assert reasons(BLANK_CONTRAST) == (Reason.BLURRED,)
    assert reasons(0) == (Reason.BLANK,)


@pytest.mark.parametrize("reason", RETAKES)
def test_every_fault_says_how_to_retake(reason: Reason) -> None:
    assert reason.text.endswith(".")
    assert reason.hint.endswith(".")
    assert any(word in reason.hint for word in ("again", "Take")), "the hint says what to do with the scan"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [({"distance": False}, "distance"), ({"quality": ("blur", "blur")}, "a quality output stands twice")],
)
def test_a_manifest_that_contradicts_itself_is_refused(outputs: dict[str, object], message: str) -> None:
    manifest = bundles.draft(distance=1.0, checks=CHECKS).manifest
    changed = msgspec.structs.replace(manifest, outputs=msgspec.structs.replace(manifest.outputs, **outputs))
    with pytest.raises(ManifestError, match=message):
        parse_manifest(serialise_manifest(changed))
