"""Explanations: a map is shown only when the probability hangs on what it shows; who reads the report can see why."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import Zone
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.verify import VerifiedBundle, verify
from aidpost_export.cases import Cases
from aidpost_export.evaluate import evaluate
from aidpost_export.explanations import check
from aidpost_export.explanations.check import FEWEST, check_map
from aidpost_export.explanations.chosen import Subject, choose, healthy_rows
from aidpost_export.explanations.faithfulness import SHARES, area, measure, seams
from aidpost_export.explanations.random_maps import rolled, with_random_phases
from aidpost_export.explanations.record import (
    FILE,
    Explanation,
    Randomised,
    Stability,
    current_explanation,
    write_explanation,
)
from aidpost_export.explanations.resemblance import rank_correlations, same_zones
from aidpost_export.measure import calibrate
from aidpost_export.pack import Label, pack
from aidpost_export.progress import SilentReporter
from aidpost_export.run import RunFolder
from aidpost_export.statistics import Interval
from aidpost_export.variant_record import read_variants
from aidpost_export.variants import make_variants

from . import runs, scored_runs

Map = NDArray[np.float64]
maps = st.tuples(st.integers(2, 12), st.integers(2, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-20, 20, width=16))
)
seeds = st.integers(0, 1000)


# ---- random maps ----------------------------------------------------------------------------------------------------


@given(maps, seeds)
def test_a_random_map_is_as_smooth_as_the_real_one(own: Map, seed: int) -> None:
    drawn = with_random_phases(own, np.random.default_rng(seed))
    power = np.abs(np.fft.fft2(own - own.mean()))
    np.testing.assert_allclose(np.abs(np.fft.fft2(drawn)), power, atol=1e-8 * max(1.0, power.max()))


@given(maps, seeds)
def test_a_rolled_map_has_the_same_cells_and_neighbours(own: Map, seed: int) -> None:
    drawn = rolled(own, np.random.default_rng(seed))
    assert sorted(drawn.ravel()) == sorted(own.ravel())
    steps = [sorted(np.abs(one - np.roll(one, 1, 1)).ravel()) for one in (drawn, own)]
    np.testing.assert_array_equal(*steps)


# ---- how alike ------------------------------------------------------------------------------------------------------

RISING = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (RISING, 1.0),
        (np.exp(RISING), 1.0),
        (-RISING, -1.0),
        (np.zeros((3, 4)), 0.0),
        (np.where(RISING >= 6, 1.0, 0.0), np.sqrt(3) * 6 / np.sqrt(143)),
    ],
)
def test_only_the_order_of_the_cells_counts(other: Map, expected: float) -> None:
    assert rank_correlations(RISING[None], other[None])[0] == pytest.approx(expected)


def test_naming_the_same_zone_is_a_share_of_the_cases() -> None:
    zones = (Zone(name="up", left=0.0, right=1.0, top=0.0, bottom=0.5),)
    up, down = np.zeros((2, 4, 4))
    up[0, 0] = down[3, 3] = 5.0
    pixels = np.full((2, 8, 8, 1), 9, np.uint8)
    assert same_zones(np.stack([up, down]), np.stack([up, up]), zones, pixels) == 0.5
    assert same_zones(np.stack([up, down]), np.stack([up, up]), (), pixels) is None


# ---- deletion and insertion -----------------------------------------------------------------------------------------


@given(maps)
def test_cells_are_exchanged_in_the_order_of_the_map(own: Map) -> None:
    parts = seams(own, own.shape)
    assert len(parts) == len(SHARES) - 2
    for part, share in zip(parts, SHARES[1:-1], strict=True):
        first = part > 0.5
        assert first.sum() == round(share * own.size)
        assert own[first].min(initial=np.inf) >= own[~first].max(initial=-np.inf)


def test_the_area_is_that_of_a_share_of_all() -> None:
    assert area(np.ones(len(SHARES))) == pytest.approx(1)
    assert area(np.array(SHARES)) == pytest.approx(0.5)


SIDE, CELLS = 48, 6
PATIENTS = 16


def spotted() -> tuple[NDArray[np.uint8], list[Map]]:
    """Films with one bright spot each, and maps that point at it; the last film is a healthy one."""
    random = np.random.default_rng(3)
    films, places = np.full((PATIENTS + 1, SIDE, SIDE, 1), 60, np.uint8), []
    for film in films[:-1]:
        place = np.zeros((CELLS, CELLS))
        row, column = random.integers(CELLS, size=2)
        place[row, column] = 1.0
        step = SIDE // CELLS
        film[row * step : (row + 1) * step, column * step : (column + 1) * step] = 250
        places.append(place + random.normal(0, 0.01, place.shape))
    return films, places


def brightest(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network that calls a film positive for its brightest pixel."""
    return ((images.max((1, 2, 3)) - 60.0) / 190).astype(np.float32)[:, None]


def cases_of(count: int, patients: int) -> Cases:
    return Cases(
        labels=("spot",),
        files=tuple(map(str, range(count))),
        sha256=("0" * 64,) * count,
        targets=np.ones((count, 1), np.float32),
        roles=("calibration",) * count,
        patients=tuple(f"p{i % patients}" for i in range(count)),
        columns={},
    )


@pytest.mark.parametrize(
    ("pointing", "better"),
    [(lambda place: place, True), (np.zeros_like, False), (np.negative, False), (np.rot90, False)],
)
def test_a_map_is_better_than_chance_only_where_it_points_at_what_counts(
    pointing: Callable[[Map], Map], better: bool
) -> None:
    films, places = spotted()
    subjects = [Subject(row, 0, PATIENTS) for row in range(PATIENTS)]
    with SilentReporter().bar("", 1) as bar:
        cases = cases_of(PATIENTS + 1, PATIENTS)
        found = measure(subjects, [pointing(place) for place in places], cases, films, brightest, bar)
    assert (found.cases, found.patients, found.findings) == (PATIENTS, PATIENTS, {"spot": PATIENTS})
    assert (found.deletion_gain.low > 0) == better
    assert (found.insertion_gain.low > 0) == better
    assert found.deletion.own[0] == found.insertion.own[-1] == pytest.approx(1.0)
    assert found.deletion.own[-1] == found.insertion.own[0] == pytest.approx(0.0)


# ---- which cases ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    plan = scored_runs.Plan("multiclass", ("normal", "benign", "malignant"), images_each=2, patients=200)
    return scored_runs.write_run(tmp_path_factory.mktemp("several") / "run", plan)


@pytest.mark.parametrize("most", [1, 7, 24, 1000])
def test_positive_cases_of_many_people_and_of_each_finding_are_chosen(several: RunFolder, most: int) -> None:
    recipe, cases = several.recipe().recipe, several.cases()
    scores = calibrate(several.logits(), cases, recipe)
    chosen = choose(cases, scores, recipe, "calibration", most)
    assert chosen == choose(cases, scores, recipe, "calibration", most)
    assert len(chosen) == len(set(chosen)) <= most
    for one in chosen:
        assert recipe.finding[one.finding].refers
        assert cases.roles[one.row] == "calibration"
        assert scores.probability[one.row, one.finding] >= scores.points[one.finding].threshold
        assert one.healthy in healthy_rows(cases, scores, one.finding)
    counts = [sum(one.finding == k for one in chosen) for k in (1, 2)]
    people = [cases.patients[one.row] for one in chosen]
    if most <= 24:
        assert len(chosen) == most
        assert len(set(people)) == most
        assert abs(counts[0] - counts[1]) <= max(1, most // 3)


def test_what_replaces_cells_is_a_training_case_without_the_finding(several: RunFolder) -> None:
    recipe, cases = several.recipe().recipe, several.cases()
    scores = calibrate(several.logits(), cases, recipe)
    rows = healthy_rows(cases, scores, 2)
    assert rows.size
    assert {cases.roles[row] for row in rows} == {"fit"}
    assert not cases.targets[rows, 2].any()
    assert (scores.probability[rows, 2] < scores.points[2].threshold).all()


# ---- the verdict ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trained run with a map of four by four cells, and its float graph."""
    run = runs.make_run(
        tmp_path_factory.mktemp("explained") / "run", runs.Plan(size=128, cases=160, steps=80, noise=15)
    )
    make_variants(run, ["jetson"], SilentReporter())
    return run


def found_in(run: RunFolder) -> Explanation:
    found = current_explanation(run)
    assert found is not None
    return found


def worse(found: Explanation, part: str) -> Explanation:
    """The same, with one gain that chance may have given."""
    assert found.calibration
    level = msgspec.structs.replace(found.calibration, **{part: Interval(value=0.1, low=-0.01, high=0.2)})
    return msgspec.structs.replace(found, calibration=level)


def stable(correlation: float = 0.99, same_zone: float | None = 1.0) -> tuple[Stability, ...]:
    one = Stability(variant="int8", sha256="0" * 64, cases=24, correlation=correlation, same_zone=same_zone)
    return (one,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: found, None),
        (lambda found: worse(found, "deletion_gain"), "taking away what it shows moves the probability no more"),
        (lambda found: worse(found, "insertion_gain"), "adding what it shows moves the probability no more"),
        (lambda found: worse(found, "other_gain"), None),
        (
            lambda found: msgspec.structs.replace(found, randomised=Randomised(cases=12, stages=3, correlation=0.51)),
            "random weights leave it nearly as it is",
        ),
        (lambda found: msgspec.structs.replace(found, stability=()), "that of int8 was not checked"),
        (lambda found: msgspec.structs.replace(found, stability=stable(0.89)), "int8 draws another one"),
        (lambda found: msgspec.structs.replace(found, stability=stable(0.99, 0.79)), "int8 names the same zone"),
        (lambda found: msgspec.structs.replace(found, stability=stable(0.9, None)), None),
        (lambda found: msgspec.structs.replace(found, obstacle="it has only 4 cells"), "it has only 4 cells"),
    ],
)
def test_each_check_refuses_the_map_in_words(
    made: RunFolder, change: Callable[[Explanation], Explanation], reason: str | None
) -> None:
    found = change(msgspec.structs.replace(found_in(made), stability=stable()))
    refusals = found.refusals(["int8"])
    assert len(refusals) == (reason is not None)
    assert reason is None or reason in refusals[0]


def test_the_map_of_a_trained_network_passes_and_is_looked_at_once(
    made: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_in(made)
    assert found.refusals([]) == ()
    assert found.calibration
    assert FEWEST <= found.calibration.cases <= 24
    monkeypatch.setattr(check, "open_session", lambda *_, **__: pytest.fail("a graph was run again"))
    assert check_map(made, read_variants(made).values(), SilentReporter()) == found


def test_too_few_positive_people_mean_that_no_map_is_shown(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "FEWEST", 1000)
    kept = (made.path / FILE).read_bytes()
    (made.path / FILE).unlink()
    found = check_map(made, read_variants(made).values(), SilentReporter())
    (made.path / FILE).write_bytes(kept)
    (reason,) = found.refusals([])
    assert "people of the calibration cases positive, too few to check it (1000 are needed)" in reason
    assert found.calibration is None


def test_what_was_found_of_other_weights_is_not_taken(made: RunFolder) -> None:
    kept = (made.path / "logits.npy").read_bytes()
    (made.path / "logits.npy").write_bytes(kept + b" ")
    assert current_explanation(made) is None
    (made.path / "logits.npy").write_bytes(kept)
    assert current_explanation(made) is not None


# ---- report, card and bundle ----------------------------------------------------------------------------------------

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def packed(run: RunFolder) -> VerifiedBundle:
    content = pack(
        run, KEY, ["jetson"], Label("marks", "1.0.0", 1), SilentReporter(), accept="Drawn marks for tests only"
    ).content
    return verify(content, Trust(root=Key(public=public_bytes(KEY))))


def test_a_map_that_passed_is_shown_with_its_evidence(made: RunFolder) -> None:
    bundle = packed(made)
    assert bundle.manifest.outputs.map == "cam"
    assert "The heat map passed its check" in bundle.members["card.md"].decode()
    assert "evaluation/map.svg" in bundle.members
    report = (made.path / "report.html").read_text()
    assert "The heat map passed its check" in report
    assert "Mean probability of the calibration cases" in report
    evaluation = evaluate(made, SilentReporter())
    assert evaluation.explanation == found_in(made)
    assert "no-map" not in {caution.code for caution in evaluation.cautions}


def test_a_map_that_failed_is_not_shown_and_everybody_is_told_why(made: RunFolder) -> None:
    good = found_in(made)
    write_explanation(made, worse(good, "deletion_gain"))
    bundle = packed(made)
    write_explanation(made, good)
    assert bundle.manifest.outputs.map == "none"
    for text in (bundle.members["card.md"].decode(), (made.path / "report.html").read_text()):
        assert "Boxes draw no heat map and name no region: taking away what it shows" in text
    assert b'"no-map"' in bundle.members["evaluation.json"]


def test_a_map_that_says_no_more_than_others_ships_with_a_caution(made: RunFolder) -> None:
    good = found_in(made)
    write_explanation(made, worse(good, "other_gain"))
    cautions = {caution.code for caution in evaluate(made, SilentReporter()).cautions}
    write_explanation(made, good)
    assert "map-of-others" in cautions
    assert "no-map" not in cautions
