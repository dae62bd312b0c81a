"""The manifest: what a bundle says of itself, as frozen structs that refuse unknown keys.

What depends on numbers (temperature, operating point, abstention, distance, golden outputs) belongs to the pair
(variant, finding), by label and never by position. Sections that a bundle does not use are empty, never absent
from the schema.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from aidpost_device.errors import ManifestError

SCHEMA = 1
"""Version of this schema. A box refuses a bundle whose schema it does not know."""

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}\Z")]
"""Lower-case name that is safe as a file name on every system."""
Label = Annotated[str, Meta(min_length=1, max_length=64)]
"""A finding's label, exactly as it stands in the dataset's `index.csv`."""
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Date = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
"""Calendar date, ISO 8601."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the manifest."""


# ---- input ----------------------------------------------------------------------------------------------------------


class Window(Section, frozen=True, kw_only=True):
    """How stored values become grey levels."""

    source: Literal["file", "percentile", "fixed"] = "file"
    """`file`: the file's own VOI window or LUT, else percentiles; `percentile`: always; `fixed`: centre and width."""
    low: Annotated[float, Meta(ge=0.0, lt=100.0)] = 0.5
    """Percentile of the pixel values that becomes black, in [0, 100)."""
    high: Annotated[float, Meta(gt=0.0, le=100.0)] = 99.5
    """Percentile of the pixel values that becomes white, in (0, 100]."""
    center: float = 0.0
    """Centre of a fixed window, in modality units (Hounsfield units for CT)."""
    width: Annotated[float, Meta(gt=0.0)] = 1.0
    """Width of a fixed window, in modality units."""


class ImageInput(Section, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """Images: which are accepted, and how their pixels become the graph's uint8 input."""

    modalities: tuple[str, ...] = ()
    """Accepted DICOM Modality (0008,0060) values; empty accepts any. Files without a header carry none and pass."""
    views: tuple[str, ...] = ()
    """Accepted DICOM View Position (0018,5101) values; empty accepts any. Images that state none pass."""
    size: Annotated[int, Meta(ge=32, le=1024)]
    """Height and width of the graph's input, pixels."""
    channels: Literal[1, 3]
    """1: luminance; 3: RGB. Grey images are replicated, colour images are reduced to luminance."""
    fit: Literal["pad", "crop", "stretch"] = "pad"
    """How the aspect ratio is met: black borders, a central crop, or unequal scaling."""
    window: Window = Window()
    monochrome1: Literal["invert", "keep"] = "invert"
    """Whether MONOCHROME1 images are inverted so that dense is always white."""


class Field(Section, frozen=True, kw_only=True):
    """One column of a table of records."""

    name: Label
    type: Literal["number", "category"]
    unit: str
    """Unit of a number ("mmHg", "1" for a ratio); empty for a category."""
    low: float | None = None
    """Smallest plausible number, in the unit; a smaller one is refused."""
    high: float | None = None
    """Largest plausible number, in the unit; a larger one is refused."""
    levels: tuple[str, ...] = ()
    """Accepted values of a category."""
    missing: Literal["refuse", "mask"] = "refuse"
    """What an empty cell does: the record is refused, or the graph receives its missing mark."""


class TableInput(Section, frozen=True, kw_only=True, tag="table", tag_field="kind"):
    """Records: the fields in the graph's order."""

    fields: Annotated[tuple[Field, ...], Meta(min_length=1, max_length=256)]


# ---- findings and outputs -------------------------------------------------------------------------------------------


class AgeRange(Section, frozen=True, kw_only=True):
    """Ages the finding was validated for, in completed years, both ends included."""

    low: Annotated[int, Meta(ge=0, le=130)] = 0
    high: Annotated[int, Meta(ge=0, le=130)] = 130


class Finding(Section, frozen=True, kw_only=True):
    """One thing the model looks for."""

    label: Label
    names: dict[str, str]
    """Display name per language (BCP 47 tag); `en` is always there."""
    refers: bool = True
    """Whether a probability at or above the operating point refers the person."""
    age: AgeRange | None = None
    """Ages outside get UNSURE; None where the evidence sets no limit."""
    advice: tuple[str, ...] = ()
    """Keys of advice texts, in the order to be shown."""


class Outputs(Section, frozen=True, kw_only=True):
    """Shapes of the graph's outputs; every graph of the bundle has the same."""

    probability: Literal["sigmoid", "softmax"]
    """`sigmoid`: findings are independent, each in [0, 1]; `softmax`: exactly one is true and they sum to 1."""
    map: Literal["cam", "none"]
    """`cam`: output `map` (N, findings, height, width) is the class-activation map whose mean is the logit up to the
    bias; `none`: the map failed its check and no caller draws one."""
    map_height: Annotated[int, Meta(ge=1, le=256)]
    """Rows of the map."""
    map_width: Annotated[int, Meta(ge=1, le=256)]
    """Columns of the map."""
    embedding: Annotated[int, Meta(ge=1, le=8192)]
    """Length of the embedding, output `embedding` (N, length)."""


class Zone(Section, frozen=True, kw_only=True):
    """A named region of the prepared image, in fractions of its height and width, origin at the top left."""

    name: Label
    left: Fraction
    top: Fraction
    right: Fraction
    bottom: Fraction


class QualityCheck(Section, frozen=True, kw_only=True):
    """One measure of the prepared image outside whose limits the scan is to be taken again."""

    measure: Label
    low: float | None = None
    high: float | None = None
    retake: str
    """Key of the text that says how to retake."""


# ---- variants -------------------------------------------------------------------------------------------------------


class Estimate(Section, frozen=True, kw_only=True):
    """A proportion in [0, 1] with its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(Section, frozen=True, kw_only=True):
    """The threshold a finding is decided at, with what it was chosen for."""

    threshold: Probability
    """Calibrated probability at or above which the finding is positive."""
    target_sensitivity: Fraction
    """The sensitivity the threshold was chosen to reach."""
    sensitivity: Estimate
    """Sensitivity on the calibration set."""
    specificity: Estimate
    """Specificity on the calibration set."""
    positives: Annotated[int, Meta(ge=0)]
    """Cases with the finding in the calibration set."""
    negatives: Annotated[int, Meta(ge=0)]
    """Cases without it."""


class Abstention(Section, frozen=True, kw_only=True):
    """Probabilities strictly between the two limits are UNSURE."""

    low: Probability
    high: Probability


class Distance(Section, frozen=True, kw_only=True):
    """Distance of the embedding to the training data above which the input is refused."""

    limit: Annotated[float, Meta(gt=0.0)]


class FindingNumbers(Section, frozen=True, kw_only=True):
    """What one variant needs to turn one finding's output into a decision."""

    temperature: Annotated[float, Meta(gt=0.0, le=100.0)]
    """Logits were divided by it inside the graph; kept here for the record."""
    operating_point: OperatingPoint
    abstention: Abstention | None = None
    distance: Distance | None = None
    reference: tuple[Fraction, ...] = ()
    """Fractions of calibration probabilities in ten equal bins of [0, 1]: the reference for drift."""


class Quantisation(Section, frozen=True, kw_only=True):
    """How an INT8 variant was made and what it changed on the calibration set."""

    scheme: Literal["u8s8", "s8s8"]
    """Activations then weights: U8S8 for x86, S8S8 for Arm."""
    calibration: Literal["minmax", "percentile"]
    float_nodes: Annotated[int, Meta(ge=0)]
    """Operators kept in float (head, map and what the candidate excluded)."""
    auroc_change: Annotated[float, Meta(ge=-1.0, le=1.0)]
    """AUROC of this variant minus that of the float graph; the worst finding's."""
    flips: Fraction
    """Fraction of verdicts that differ from the float graph's."""
    speed: Annotated[float, Meta(gt=0.0)] | None = None
    """Float latency over this variant's, where the target's architecture was the workstation's; else None."""


class Tolerance(Section, frozen=True, kw_only=True):
    """How far golden outputs may lie from the expected ones on another machine."""

    probability: Annotated[float, Meta(gt=0.0, le=0.1)]
    """Absolute difference of a probability."""
    map: Annotated[float, Meta(gt=0.0, le=0.3)]
    """Difference as a fraction of the expected map's range; single cells of an INT8 map vary most."""
    embedding: Annotated[float, Meta(gt=0.0, le=0.1)]
    """Difference as a fraction of the expected embedding's range."""


class Variant(Section, frozen=True, kw_only=True):
    """One graph of the bundle with the numbers that belong to it."""

    name: Slug
    file: str
    """Member that holds the ONNX graph."""
    precision: Literal["float32", "int8"]
    quantisation: Quantisation | None = None
    findings: dict[Label, FindingNumbers]
    golden: dict[Slug, str]
    """Golden input's name → member with the expected outputs (float32, little-endian: probability, map, embedding)."""
    tolerance: Tolerance


class GoldenInput(Section, frozen=True, kw_only=True):
    """An encoded synthetic file whose pixels and outputs are known."""

    name: Slug
    file: str
    """Member that holds the encoded file."""
    decoder: Label
    """The decoder it exercises."""
    pixels: str
    """Member that holds what it is prepared to: (H, W, C) uint8, compressed by zlib (RFC 1950)."""


# ---- provenance -----------------------------------------------------------------------------------------------------


class Counts(Section, frozen=True, kw_only=True):
    """Cases of the dataset per use."""

    fit: Annotated[int, Meta(ge=0)]
    tuning: Annotated[int, Meta(ge=0)]
    calibration: Annotated[int, Meta(ge=0)]
    validation: Annotated[int, Meta(ge=0)]


class Provenance(Section, frozen=True, kw_only=True):
    """Where the model comes from."""

    recipe: Slug
    recipe_sha256: Sha256
    base: str
    """Name of the pretrained base, "random" and an architecture for none."""
    base_sha256: Sha256 | None
    base_licence: str
    dataset: str
    dataset_sha256: Sha256
    """Digest over the index and the files' digests."""
    counts: Counts
    seed: int
    created: Date
    site: str = ""
    synthetic: bool = False
    """True when the data were generated: such a bundle says so wherever it reports."""
    versions: dict[str, str] = {}
    """Programs that made it, name → version."""


class Member(Section, frozen=True, kw_only=True):
    """Digest and size of one member of the container."""

    sha256: Sha256
    size: Annotated[int, Meta(ge=0)]
    """Bytes."""


class Manifest(Section, frozen=True, kw_only=True):
    """The signed description of a bundle."""

    schema: int
    name: Slug
    """One recipe at one site; slots and activation are per name."""
    version: Slug
    build: Annotated[int, Meta(ge=1, le=2**53)]
    """Counter that only grows (anti-rollback)."""
    title: dict[str, str]
    """Display title per language; `en` is always there."""
    input: ImageInput | TableInput
    findings: Annotated[tuple[Finding, ...], Meta(min_length=1, max_length=64)]
    outputs: Outputs
    variants: Annotated[tuple[Variant, ...], Meta(min_length=1, max_length=16)]
    targets: dict[Literal["x86", "pi4", "pi5", "jetson"], tuple[Slug, ...]]
    """Target → its variants, most wanted first."""
    golden: Annotated[tuple[GoldenInput, ...], Meta(min_length=1, max_length=16)]
    provenance: Provenance
    prevalence: Annotated[float, Meta(gt=0.0, lt=1.0)]
    """Prevalence the predictive values were computed at: that of the first finding that refers."""
    expires: Date | None = None
    quality: tuple[QualityCheck, ...] = ()
    zones: tuple[Zone, ...] = ()
    members: dict[str, Member]
    """Every other member except the signature."""


def parse_manifest(content: bytes) -> Manifest:
    """Parse and check `manifest.json`. Raises `ManifestError` naming the place."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(
            f"The bundle's manifest cannot be accepted: {error}.",
            "Ask for a bundle made by a program version that this box knows, or update the box.",
        ) from error
    if serialise_manifest(manifest) != content:
        raise ManifestError("The bundle's manifest is not in canonical form.", _ASK_AGAIN)
    _check(manifest)
    return manifest


def serialise_manifest(manifest: Manifest) -> bytes:
    """Write the manifest in its one canonical form: sorted keys, no white space."""
    return msgspec.json.encode(manifest, order="sorted")


_ASK_AGAIN = "Ask the workstation to pack the bundle again."
_LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")


def _check(manifest: Manifest) -> None:
    """Check what the field types cannot say: references between sections."""

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise ManifestError(f"The bundle's manifest contradicts itself: {message}.", _ASK_AGAIN)

    require(manifest.schema == SCHEMA, f"schema {manifest.schema} is not {SCHEMA}")
    labels = [finding.label for finding in manifest.findings]
    require(len(set(labels)) == len(labels), "a finding stands twice")
    require(any(finding.refers for finding in manifest.findings), "no finding refers")
    for names in (manifest.title, *(finding.names for finding in manifest.findings)):
        require(
            "en" in names and all(_LANGUAGE.match(tag) for tag in names), "a name lacks English or its language tag"
        )
    variants = [variant.name for variant in manifest.variants]
    require(len(set(variants)) == len(variants), "a variant stands twice")
    golden = {vector.name for vector in manifest.golden}
    require(len(golden) == len(manifest.golden), "a golden input stands twice")
    referenced = [member for vector in manifest.golden for member in (vector.file, vector.pixels)]
    for variant in manifest.variants:
        require(set(variant.findings) == set(labels), f"variant {variant.name} does not number every finding")
        require(set(variant.golden) == golden, f"variant {variant.name} lacks a golden output")
        require(
            (variant.precision == "int8") == (variant.quantisation is not None), f"variant {variant.name}'s precision"
        )
        for numbers in variant.findings.values():
            require(len(numbers.reference) in (0, 10), f"variant {variant.name}'s reference has not ten bins")
        referenced += [variant.file, *variant.golden.values()]
    for member in referenced:
        require(member in manifest.members, f"member {member!r} is referred to but not listed")
    for target, wanted in manifest.targets.items():
        require(bool(wanted) and set(wanted) <= set(variants), f"target {target} names an unknown variant")
    require(bool(manifest.targets), "no target")
    for day in filter(None, (manifest.expires, manifest.provenance.created)):
        require(_is_day(day), f"{day} is not a day of the calendar")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
