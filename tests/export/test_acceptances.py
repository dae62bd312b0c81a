"""The gate on groups: a bundle that serves some people worse is packed with a reason or not at all."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aidpost_device.bundle.manifest import Acceptance
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.variant import Estimate
from aidpost_device.bundle.verify import verify
from aidpost_export.acceptances import require_reason, settle
from aidpost_export.errors import GateError, PackError
from aidpost_export.evaluate import evaluate
from aidpost_export.figures import Evaluation, GroupFigures
from aidpost_export.measure import calibrate
from aidpost_export.pack import Label, pack
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import Gates
from aidpost_export.run import RunFolder

from . import runs, scored_runs
from .test_evaluate import quantised_run

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TRUST = Trust(root=Key(public=public_bytes(KEY)))
REASON = "few women so far; films are read twice"
SILENT = SilentReporter()


def share(value: float) -> Estimate:
    return Estimate(value=value, low=max(0.0, value - 0.1), high=min(1.0, value + 0.1))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """An evaluation to put other groups into."""
    return evaluate(scored_runs.write_run(tmp_path_factory.mktemp("plain") / "run", scored_runs.Plan()), SILENT)


def having(plain: Evaluation, *groups: GroupFigures, whole: float = 0.9, refers: bool = True) -> Evaluation:
    finding = msgspec.structs.replace(plain.findings[0], sensitivity=share(whole), groups=groups, refers=refers)
    return msgspec.structs.replace(plain, findings=(finding,), unknown=(), uniform={})


def group(value: str, sensitivity: float | None, positives: int = 40) -> GroupFigures:
    return GroupFigures(
        column="sex",
        value=value,
        cases=2 * positives,
        positives=positives,
        patients=2 * positives,
        auroc=None,
        sensitivity=None if sensitivity is None else share(sensitivity),
        specificity=None,
    )


# ---- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sensitivity", "allowed", "refused"),
    [(0.80, 0.1, False), (0.79, 0.1, True), (0.79, 0.12, False), (0.95, 0.0, False), (0.89, 0.0, True)],
)
def test_a_group_may_fall_as_far_as_the_recipe_allows(
    plain: Evaluation, sensitivity: float, allowed: float, refused: bool
) -> None:
    evaluation, gates = having(plain, group("F", sensitivity), group("M", 0.9)), Gates(group_fall=allowed)
    if not refused:
        assert settle(evaluation, gates, {"float32"}, None) == ()
        return
    with pytest.raises(GateError, match=r"pneumonia: sex F: sensitivity 79%|pneumonia: sex F: .*89%") as caught:
        settle(evaluation, gates, {"float32"}, None)
    words = str(caught.value)
    assert "of 40 positives" in words and "below the 90% of all" in words
    assert f"{100 * allowed:g} are allowed" in words
    assert "sex M" not in words
    assert "--accept" in caught.value.hint and "Label more" in caught.value.hint
    (accepted,) = settle(evaluation, gates, {"float32"}, REASON)
    assert (accepted.gate, accepted.subject, accepted.reason) == ("group", "pneumonia: sex F", REASON)


def test_too_few_positives_are_recorded_and_need_no_reason(plain: Evaluation) -> None:
    evaluation = having(plain, group("F", None, 3), group("M", 0.9))
    expected = Acceptance(
        gate="group", subject="pneumonia: sex F", found="not shown: 3 positives, 10 are needed", reason=""
    )
    assert settle(evaluation, Gates(), {"float32"}, None) == (expected,)
    assert settle(evaluation, Gates(), {"float32"}, REASON) == (expected,), "a reason makes no pass of it"


def test_too_few_positives_of_all_are_refused(plain: Evaluation) -> None:
    evaluation = having(plain)
    few = msgspec.structs.replace(evaluation.findings[0], positives=7)
    evaluation = msgspec.structs.replace(evaluation, findings=(few,))
    with pytest.raises(GateError, match="pneumonia: all: 7 positives, 10 are needed"):
        settle(evaluation, Gates(), {"float32"}, None)
    assert settle(evaluation, Gates(), {"float32"}, REASON)[0].reason == REASON
    assert settle(evaluation, Gates(smallest_group=7), {"float32"}, None) == ()


def test_people_of_whom_nothing_is_stated_are_no_group(plain: Evaluation) -> None:
    assert settle(having(plain, group("", 0.2), group("M", 0.9)), Gates(), {"float32"}, None) == ()


def test_a_finding_that_refers_nobody_is_not_gated(plain: Evaluation) -> None:
    assert settle(having(plain, group("F", 0.2), refers=False), Gates(), {"float32"}, None) == ()


def test_a_column_that_nobody_filled_in_is_recorded(plain: Evaluation) -> None:
    evaluation = msgspec.structs.replace(having(plain), unknown=("view",))
    (found,) = settle(evaluation, Gates(), {"float32"}, None)
    assert (found.subject, found.found, found.reason) == ("view", "not known: the data do not state it", "")


def test_a_column_in_which_all_validation_cases_agree_is_recorded(plain: Evaluation) -> None:
    evaluation = msgspec.structs.replace(having(plain), uniform={"sex": "M"})
    (found,) = settle(evaluation, Gates(), {"float32"}, None)
    assert (found.subject, found.reason) == ("sex", "")
    assert found.found == "not known of anybody else: every validation case has 'M'"


def test_the_graph_that_ships_is_gated_too(tmp_path: Path) -> None:
    evaluation = evaluate(quantised_run(tmp_path / "run", 0.1), SILENT)
    assert evaluation.device is not None
    int8 = next(one for one in evaluation.device.variants if one.precision == "int8")
    (found,) = int8.findings
    assert {one.value for one in found.groups if one.column == "sex"} == {"F", "M", ""}
    worse = tuple(
        msgspec.structs.replace(one, sensitivity=share(0.4)) if one.value == "F" else one for one in found.groups
    )
    int8 = msgspec.structs.replace(int8, findings=(msgspec.structs.replace(found, groups=worse),))
    evaluation = msgspec.structs.replace(
        evaluation, device=msgspec.structs.replace(evaluation.device, variants=(int8,))
    )
    gates = Gates(group_fall=0.4)
    with pytest.raises(GateError, match=r"sex F: sensitivity by int8-u8s8 40%"):
        settle(evaluation, gates, {"float32", "int8-u8s8"}, None)
    assert not any(one.reason for one in settle(evaluation, gates, {"float32"}, REASON)), "it does not ship"


@pytest.mark.parametrize("text", ["", "  ", "ok", "because yes"])
def test_a_reason_is_more_than_a_word(text: str) -> None:
    with pytest.raises(PackError, match="gives no reason") as caught:
        require_reason(text)
    assert "few words" in caught.value.hint


def test_a_reason_is_one_line() -> None:
    assert require_reason(" few women\n so  far ") == "few women so far"


# ---- packing --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unfair(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that misses more of the ill in ward 3 than its recipe allows, and has next to nobody in ward 4."""
    run = runs.make_run(tmp_path_factory.mktemp("unfair") / "run", runs.Plan(noise=70, steps=60))
    text = (run.path / "recipe.toml").read_text()
    text = text.replace("prevalence = 0.1\n", 'prevalence = 0.1\ngroups = ["ward", "floor"]\n', 1)
    text += "[gates]\nsmallest_group = 5\ngroup_fall = 0.02\n"
    (run.path / "recipe.toml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run.write_json("run.json", msgspec.structs.replace(run.record(), recipe_sha256=digest))
    cases = run.cases()
    scores = calibrate(run.logits(), cases, run.recipe().recipe)
    ill = cases.where("validation")[cases.targets[cases.where("validation"), 0] > 0]
    lowest = ill[np.argsort(scores.probability[ill, 0])]
    ward = np.full(len(cases), "1")
    ward[lowest[:8]] = "3"
    ward[lowest[-2:]] = "4"
    replace(cases, columns={**cases.columns, "ward": tuple(ward)}).write(run.path / "cases.csv")
    return run


def test_a_bundle_that_serves_a_group_worse_is_refused(unfair: RunFolder) -> None:
    with pytest.raises(GateError, match="bright: ward 3: sensitivity"):
        pack(unfair, KEY, ["jetson"], Label(None, "1", 1), SILENT)


def test_what_is_no_reason_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="gives no reason"):
        pack(RunFolder(tmp_path), KEY, ["jetson"], Label(None, "1", 1), SILENT, accept="fine")


def test_an_acceptance_stands_in_manifest_and_card(unfair: RunFolder, tmp_path: Path) -> None:
    packed = pack(unfair, KEY, ["jetson"], Label(None, "1", 1), SILENT, accept=REASON)
    bundle = verify(packed.content, TRUST)
    found = {one.subject: one for one in bundle.manifest.acceptances}
    assert set(found) == {"floor", "bright: ward 3", "bright: ward 4"}
    assert {one.reason for one in found.values()} == {"", REASON}
    assert found["bright: ward 3"].reason == REASON
    assert found["bright: ward 4"].found == "not shown: 2 positives, 5 are needed"
    card = bundle.members["card.md"].decode()
    section = card.partition("## Accepted in spite of a gate")[2].partition("\n## ")[0]
    assert f"bright: ward 3: {found['bright: ward 3'].found}. Accepted because: {REASON}" in section
    assert "bright: ward 4: not shown: 2 positives, 5 are needed. This is no pass." in section
    row = next(line for line in card.splitlines() if "| ward 4 |" in line)
    assert "not shown" in row


def test_a_reason_for_nothing_is_not_recorded(unfair: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(unfair.path, run.path)
    cases = run.cases()
    replace(cases, columns={**cases.columns, "ward": ("1",) * len(cases)}).write(run.path / "cases.csv")
    told: list[str] = []

    class Listening(SilentReporter):
        def note(self, text: str) -> None:
            told.append(text)

    manifest = pack(run, KEY, ["jetson"], Label(None, "1", 1), Listening(), accept=REASON).manifest
    assert not any(one.reason for one in manifest.acceptances)
    assert any("Nothing had to be accepted" in text for text in told)
