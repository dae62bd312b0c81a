"""Pack: from a finished run to a signed bundle, verified as a box will before anything is written.

The same run, label and key give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from aidpost_device import golden
from aidpost_device.bundle.assemble import assemble
from aidpost_device.bundle.manifest import (
    SCHEMA,
    Counts,
    GoldenInput,
    Manifest,
    Outputs,
    Provenance,
    Tolerance,
    Variant,
)
from aidpost_device.bundle.signature import public_bytes
from aidpost_device.bundle.trust import Key, Trust
from aidpost_device.bundle.verify import verify
from aidpost_device.engine import Prediction, Target, host_target, image_input
from aidpost_device.errors import AidpostError, GoldenError
from aidpost_device.prepare import prepare_bytes
from aidpost_export.card import write_card
from aidpost_export.cases import Cases
from aidpost_export.errors import PackError
from aidpost_export.evaluate import evaluate
from aidpost_export.figures import Evaluation
from aidpost_export.golden_inputs import golden_inputs
from aidpost_export.mlbom import write_mlbom
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.scoring import open_session, score
from aidpost_export.variant_record import FLOAT, TargetVariants, VariantRecord, read_graph, read_variants
from aidpost_export.variants import make_variants

TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(probability=1e-3, map=1e-3, embedding=1e-3),
    "int8": Tolerance(probability=0.03, map=0.05, embedding=0.05),
}
"""How far another processor may be off. Float kernels sum in another order, and a resize may differ by one grey level.
INT8 kernels add exactly but round each layer to 8 bits: a value on the edge falls to one side or the other, which is
one level of 256 per layer. What really goes wrong (saturation, another layout) is far outside."""


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
    """Day from which boxes no longer install it, ISO 8601."""


@dataclass(frozen=True)
class Packed:
    """A signed bundle."""

    content: bytes
    manifest: Manifest


def default_build() -> int:
    """A counter that grows by itself: the date and time to the minute, UTC."""
    return int(datetime.now(UTC).strftime("%Y%m%d%H%M"))


def pack(run: RunFolder, key: Ed25519PrivateKey, targets: Sequence[Target], label: Label, reporter: Reporter) -> Packed:
    """Pack a run for these targets; what was not quantised or evaluated yet is now.

    Raises `PackError` when the label cannot stand in a manifest or the finished bundle does not work here.
    """
    made = _variants(run, targets, reporter)
    evaluation = evaluate(run, reporter)
    variants = _distinct(made)
    recipe, cases = run.recipe().recipe, run.cases()
    reporter.note("Running the golden inputs.")
    inputs, members = _golden_members(recipe)
    outputs: dict[str, dict[str, Prediction]] = {}
    for one in variants:
        graph = read_graph(run, one)
        members[_graph_member(one)] = graph
        outputs[one.name] = _golden_outputs(graph, recipe, inputs, members)
        for name, found in outputs[one.name].items():
            members[_golden_member(name, one)] = golden.serialise(found)
    members |= _evidence(run, recipe, evaluation, made)
    example = next(iter(outputs[FLOAT].values()))
    draft = _manifest(run, label, recipe, cases, made, variants, inputs, example)
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
    return {target: known[target] for target in wanted}


def _distinct(made: dict[Target, TargetVariants]) -> list[VariantRecord]:
    """Each variant once: targets share graphs."""
    return list({one.name: one for target in made.values() for one in target.variants}.values())


def _graph_member(variant: VariantRecord) -> str:
    return "model.onnx" if variant.name == FLOAT else f"model.{variant.name}.onnx"


def _golden_member(name: str, variant: VariantRecord) -> str:
    return f"golden/{name}.{variant.name}.f32"


# ---- golden vectors -------------------------------------------------------------------------------------------------


def _golden_members(recipe: Recipe) -> tuple[tuple[GoldenInput, ...], dict[str, bytes]]:
    """Encode the golden inputs and say which decoder each exercises."""
    inputs, members = [], {}
    for encoded in golden_inputs(recipe.input):
        file = f"golden/{encoded.name}.{encoded.suffix}"
        decoder = prepare_bytes(file, encoded.content, recipe.input).decoder
        inputs.append(GoldenInput(name=encoded.name, file=file, decoder=decoder))
        members[file] = encoded.content
    return tuple(inputs), members


def _golden_outputs(
    graph: bytes, recipe: Recipe, inputs: Sequence[GoldenInput], members: dict[str, bytes]
) -> dict[str, Prediction]:
    """What one graph gives for the golden inputs, prepared as the box prepares them."""
    session = open_session(graph)
    found = {}
    for one in inputs:
        pixels: NDArray[np.uint8] = prepare_bytes(one.file, members[one.file], recipe.input).pixels[None]
        found[one.name] = score(session, pixels, np.arange(1))
    return found


# ---- manifest -------------------------------------------------------------------------------------------------------


def _manifest(
    run: RunFolder,
    label: Label,
    recipe: Recipe,
    cases: Cases,
    made: dict[Target, TargetVariants],
    variants: Sequence[VariantRecord],
    inputs: tuple[GoldenInput, ...],
    example: Prediction,
) -> Manifest:
    """Describe the bundle; the members are listed when it is assembled."""
    record = run.record()
    provenance = Provenance(
        recipe=recipe.name,
        recipe_sha256=record.recipe_sha256,
        base=record.base,
        base_sha256=record.base_sha256,
        base_licence=record.base_licence,
        dataset=record.dataset,
        dataset_sha256=record.dataset_sha256,
        counts=Counts(**{role: len(cases.where(role)) for role in ("fit", "tuning", "calibration", "validation")}),
        seed=record.seed,
        created=record.created,
        site=label.site,
        synthetic=record.synthetic,
        versions=record.versions,
    )
    return Manifest(
        schema=SCHEMA,
        name=label.name or recipe.name,
        version=label.version,
        build=label.build,
        title=recipe.title,
        input=recipe.input,
        findings=recipe.finding,
        outputs=Outputs(
            probability=recipe.activation,
            map="cam",
            map_height=example.map.shape[2],
            map_width=example.map.shape[3],
            embedding=example.embedding.shape[1],
        ),
        variants=tuple(_variant(one, inputs) for one in variants),
        targets={target: tuple(one.name for one in found.variants) for target, found in made.items()},
        golden=inputs,
        provenance=provenance,
        prevalence=recipe.prevalence,
        expires=label.expires,
        zones=recipe.zones,
        members={},
    )


def _variant(record: VariantRecord, inputs: Sequence[GoldenInput]) -> Variant:
    return Variant(
        name=record.name,
        file=_graph_member(record),
        precision=record.precision,
        quantisation=record.quantisation,
        findings=record.findings,
        golden={one.name: _golden_member(one.name, record) for one in inputs},
        tolerance=TOLERANCES[record.precision],
    )


def _evidence(
    run: RunFolder, recipe: Recipe, evaluation: Evaluation, made: dict[Target, TargetVariants]
) -> dict[str, bytes]:
    """Card and evaluation, for people and for programs."""
    members = {
        "card.md": write_card(run.recipe().card, recipe, evaluation, list(made.values())).encode(),
        "evaluation.json": msgspec.json.encode(evaluation),
    }
    for plot in sorted((run.path / "plots").glob("*.svg")):
        members[f"evaluation/{plot.name}"] = plot.read_bytes()
    return members


def _try_out(content: bytes, key: Ed25519PrivateKey) -> Manifest:
    """Verify the finished file and, where a target is this machine's kind, run its golden vectors as a box does."""
    bundle = verify(content, Trust(root=Key(public=public_bytes(key))))
    manifest, here, spec = bundle.manifest, host_target(), image_input(bundle.manifest)
    if here in manifest.targets:
        try:
            golden.open_engine(bundle, here, lambda name, data: prepare_bytes(name, data, spec).pixels)
        except GoldenError as error:
            raise PackError(f"The finished bundle does not work on this machine: {error}", error.hint) from error
    return manifest
