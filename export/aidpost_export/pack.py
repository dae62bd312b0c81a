"""Pack: from a finished run to a signed bundle, verified as a box will before anything is written.

The same run, label and key give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from aidpost_device.bundle.assemble import assemble
from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.manifest import SCHEMA, Acceptance, Counts, Manifest, Outputs, Provenance
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.variant import Variant
from aidpost_device.bundle.verify import verify
from aidpost_device.engine import Target
from aidpost_device.errors import AidpostError
from aidpost_device.golden import accepted_engines
from aidpost_device.prepare import prepare_bytes
from aidpost_export.acceptances import require_reason, settle
from aidpost_export.card import write_card
from aidpost_export.cautions import cautions
from aidpost_export.errors import PackError
from aidpost_export.evaluate import evaluate
from aidpost_export.explanations.check import check_map, why_no_map
from aidpost_export.figures import Evaluation
from aidpost_export.golden import GoldenOutputs, GoldenVectors, golden_outputs, golden_vectors
from aidpost_export.mlbom import write_mlbom
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.variant_record import FLOAT, TargetVariants, VariantRecord, read_graph, read_variants
from aidpost_export.variants import make_variants

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
"""Where the build counter begins that grows by itself."""
TOOLS = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
"""Programs that make the graphs."""


@dataclass(frozen=True)
class Label:
    """What is written on a bundle."""

    name: str | None
    """Name on the boxes; None takes the recipe's."""
    version: str
    build: int
    """Counter that must grow from bundle to bundle."""
    site: str = ""
    expires: str | None = None
    """Last day on which boxes install it, ISO 8601."""


@dataclass(frozen=True)
class Packed:
    """A signed bundle."""

    content: bytes
    manifest: Manifest


def default_build() -> int:
    """A counter that grows by itself: the minutes since 2020."""
    return int((datetime.now(UTC) - EPOCH).total_seconds() // 60)


def require_folder(out: Path) -> None:
    """See that the bundle can be written there, before the work, which takes minutes. Raises `PackError`."""
    if not out.parent.is_dir():
        raise PackError(
            f"There is no folder {out.parent} to write the bundle into.",
            "Make the folder, or plug in the stick, and pack again.",
        )
    if not os.access(out.parent, os.W_OK):
        raise PackError(f"Nothing may be written into {out.parent}.", "Choose another folder with --out.")


def pack(
    run: RunFolder,
    key: Ed25519PrivateKey,
    targets: Sequence[Target],
    label: Label,
    reporter: Reporter,
    *,
    accept: str | None = None,
) -> Packed:
    """Pack a run for these targets; what was not quantised or evaluated yet is now.

    `accept` is the reason for which a person accepts that some group is served worse than the recipe allows. Raises
    `GateError` when one is and there is no reason, `PackError` when the reason is none, the label cannot stand in a
    manifest or the finished bundle does not work here.
    """
    reason = None if accept is None else require_reason(accept)
    made = _variants(run, targets, reporter)
    variants = _distinct(made)
    evaluation = _of_these(evaluate(run, reporter), made)
    recipe = run.recipe().recipe
    accepted = settle(evaluation, recipe.gates, {one.name for one in variants}, reason)
    if reason is not None and not any(one.reason for one in accepted):
        reporter.note("Nothing had to be accepted, so the reason is not recorded.")
    reporter.note("Running the golden inputs.")
    vectors = golden_vectors(recipe.input)
    members = dict(vectors.files)
    outputs: dict[str, GoldenOutputs] = {}
    for one in variants:
        graph = members[_graph_member(one)] = read_graph(run, one)
        outputs[one.name] = golden_outputs(one.name, graph, vectors, int8=one.precision == "int8")
        members |= outputs[one.name].files
    members |= _evidence(run, recipe, evaluation, made, accepted)
    draft = msgspec.structs.replace(_manifest(run, label, recipe, made, vectors, outputs), acceptances=accepted)
    members["mlbom.json"] = write_mlbom(draft, run.record(), evaluation)
    try:
        content = assemble(draft, members, key)
    except AidpostError as error:
        raise PackError(f"The bundle would be refused: {error}", error.hint) from error
    return Packed(content, _try_out(content, key))


def _variants(run: RunFolder, targets: Sequence[Target], reporter: Reporter) -> dict[Target, TargetVariants]:
    """What was made for the targets, made now where it is missing or out of date."""
    wanted = list(dict.fromkeys(targets))
    known = read_variants(run)
    if missing := [target for target in wanted if target not in known]:
        known |= make_variants(run, missing, reporter)
    made = {target: known[target] for target in wanted}
    check_map(run, made.values(), reporter)
    return made


def _of_these(evaluation: Evaluation, made: dict[Target, TargetVariants]) -> Evaluation:
    """Leave only what concerns the graphs of this bundle: the run may have others, for other boxes."""
    names = {one.name for one in _distinct(made)}
    device, explanation, detectors = evaluation.device, evaluation.explanation, evaluation.detectors
    kept = msgspec.structs.replace(
        evaluation,
        device=device
        and msgspec.structs.replace(
            device,
            notes={target: note for target, note in device.notes.items() if target in made},
            variants=tuple(
                msgspec.structs.replace(one, targets=tuple(target for target in one.targets if target in made))
                for one in device.variants
                if one.name in names
            ),
            refused=tuple(one for one in device.refused if one.target in made),
        ),
        explanation=explanation
        and msgspec.structs.replace(
            explanation, stability=tuple(one for one in explanation.stability if one.variant in names)
        ),
        detectors=detectors
        and msgspec.structs.replace(
            detectors, variants=tuple(one for one in detectors.variants if one.variant in names)
        ),
    )
    return msgspec.structs.replace(kept, cautions=cautions(kept))


def _distinct(made: dict[Target, TargetVariants]) -> list[VariantRecord]:
    """Each variant once: targets share graphs."""
    return list({one.name: one for target in made.values() for one in target.variants}.values())


def _graph_member(variant: VariantRecord) -> str:
    return "model.onnx" if variant.name == FLOAT else f"model.{variant.name}.onnx"


# ---- manifest -------------------------------------------------------------------------------------------------------


def _manifest(
    run: RunFolder,
    label: Label,
    recipe: Recipe,
    made: dict[Target, TargetVariants],
    vectors: GoldenVectors,
    outputs: dict[str, GoldenOutputs],
) -> Manifest:
    """Describe the bundle; the members are listed when it is assembled."""
    example = outputs[FLOAT].example
    return Manifest(
        schema=SCHEMA,
        name=label.name or recipe.name,
        version=label.version,
        build=label.build,
        title=recipe.title,
        input=recipe.input,
        findings=tuple(finding.for_boxes() for finding in recipe.finding),
        outputs=Outputs(
            probability=recipe.activation,
            map="none" if why_no_map(run, _distinct(made)) else "cam",
            map_height=example.map.shape[2],
            map_width=example.map.shape[3],
            embedding=example.embedding.shape[1],
            distance=example.distance is not None,
            quality=recipe.detectors.faults if example.quality is not None else (),
        ),
        variants=tuple(_variant(one, outputs[one.name]) for one in _distinct(made)),
        targets={target: tuple(one.name for one in found.variants) for target, found in made.items()},
        golden=vectors.inputs,
        provenance=_provenance(run, label, recipe),
        prevalence=_prevalence(recipe),
        expires=label.expires,
        zones=recipe.zones,
        members={},
    )


def _prevalence(recipe: Recipe) -> float:
    """The prevalence of the first finding that refers; those of the others stand in the evaluation."""
    known = (recipe.prevalence_of(k) for k, finding in enumerate(recipe.finding) if finding.refers)
    return next(known) or recipe.prevalence


def _provenance(run: RunFolder, label: Label, recipe: Recipe) -> Provenance:
    record, cases = run.record(), run.cases()
    return Provenance(
        recipe=recipe.name,
        recipe_sha256=record.recipe_sha256,
        base=record.base,
        base_sha256=record.base_sha256,
        base_licence=record.base_licence,
        dataset=record.dataset,
        dataset_sha256=record.dataset_sha256,
        counts=Counts(
            fit=len(cases.where("fit")),
            tuning=len(cases.where("tuning")),
            calibration=len(cases.where("calibration")),
            validation=len(cases.where("validation")),
        ),
        seed=record.seed,
        created=record.created,
        site=label.site,
        synthetic=record.synthetic,
        versions=record.versions | {name: version(name) for name in TOOLS},
    )


def _variant(record: VariantRecord, outputs: GoldenOutputs) -> Variant:
    return Variant(
        name=record.name,
        file=_graph_member(record),
        precision=record.precision,
        quantisation=record.quantisation,
        findings=record.findings,
        distance=record.distance,
        quality=record.quality,
        golden=dict(outputs.members),
        tolerance=outputs.tolerance,
    )


def _evidence(
    run: RunFolder,
    recipe: Recipe,
    evaluation: Evaluation,
    made: dict[Target, TargetVariants],
    accepted: Sequence[Acceptance],
) -> dict[str, bytes]:
    """Card and evaluation, for people and for programs."""
    members = {
        "card.md": write_card(run.recipe().card, recipe, evaluation, list(made.values()), accepted).encode(),
        "evaluation.json": msgspec.json.encode(evaluation),
    }
    for plot in sorted((run.path / "plots").glob("*.svg")):
        members[f"evaluation/{plot.name}"] = plot.read_bytes()
    return members


def _try_out(content: bytes, key: Ed25519PrivateKey) -> Manifest:
    """Verify the finished file and run every target's golden vectors as a box does. Raises `PackError`."""
    bundle = verify(content, Trust(root=Key(public=public_bytes(key))))
    spec = image_input(bundle.manifest)

    @cache
    def prepare(name: str, data: bytes) -> NDArray[np.uint8]:  # (H, W, C)
        return prepare_bytes(name, data, spec).pixels

    for target, names in bundle.manifest.targets.items():
        try:
            working = [one.variant.name for one in accepted_engines(bundle, target, prepare, probe=True)]
        except AidpostError as error:
            raise PackError(f"The finished bundle does not work here: {error}", error.hint) from error
        if missing := sorted(set(names) - set(working)):
            raise PackError(
                f"In the finished bundle {', '.join(missing)} does not give its golden outputs here.",
                "Run `aidpost export quantize` again; if it stays, report this message.",
            )
    return bundle.manifest
