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
from msgspec import Meta

from aidpost_device.bundle.section import Date, Fraction, Label, Section, Sha256, Slug
from aidpost_device.bundle.variant import GoldenInput, Variant
from aidpost_device.errors import ManifestError

SCHEMA = 2
"""Version of this schema. A box refuses a bundle whose schema it does not know."""

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
    distance: bool = False
    """Whether there is an output `distance` (N,): how far the embedding lies from the nearest class of the training
    data (Mahalanobis)."""
    quality: Annotated[tuple[Label, ...], Meta(max_length=32)] = ()
    """Columns of the output `quality` (N, columns): one score for each fault of a scan that the graph looks for, larger
    is worse; empty where there is no such output."""


class Zone(Section, frozen=True, kw_only=True):
    """A named region of the scan inside its black borders, in fractions of its height and width from the top left."""

    name: Label
    left: Fraction
    top: Fraction
    right: Fraction
    bottom: Fraction


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
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Programs that made it, name → version."""


class Acceptance(Section, frozen=True, kw_only=True):
    """A proof that this bundle could not give, and why it was packed all the same."""

    gate: Slug
    """Which proof: the gate's short stable code."""
    subject: str
    """What it could not be given for, such as "pneumonia: sex F"."""
    found: str
    """What was found, in words."""
    reason: str
    """Why a person accepted it; empty where there were too few cases to judge, which is never a pass."""


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
    zones: tuple[Zone, ...] = ()
    acceptances: tuple[Acceptance, ...] = ()
    """What a person, or the lack of cases, let pass that a gate did not."""
    members: dict[str, Member]
    """Every other member except the signature."""

    def variant(self, name: str) -> Variant:
        """Give the variant of a name that is known to be the bundle's."""
        return next(one for one in self.variants if one.name == name)


def parse_manifest(content: bytes) -> Manifest:
    """Parse and check `manifest.json`. Raises `ManifestError` naming the place."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(
            f"The bundle's manifest cannot be accepted: {error}.",
            "Ask for a bundle made by a program version that this box knows, or update the box.",
        ) from error
    if manifest.schema != SCHEMA:
        raise ManifestError(
            f"The bundle's manifest has schema {manifest.schema}; this program reads schema {SCHEMA}.",
            "Update the program on the box or at the workstation, whichever is older, and pack the bundle again.",
        )
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
    quality = manifest.outputs.quality
    require(len(set(quality)) == len(quality), "a quality output stands twice")
    referenced = [member for vector in manifest.golden for member in (vector.file, vector.pixels)]
    for variant in manifest.variants:
        require(set(variant.findings) == set(labels), f"variant {variant.name} does not number every finding")
        require(set(variant.golden) == golden, f"variant {variant.name} lacks a golden output")
        require(
            (variant.precision == "int8") == (variant.quantisation is not None), f"variant {variant.name}'s precision"
        )
        require((variant.distance is not None) <= manifest.outputs.distance, f"variant {variant.name}'s distance")
        for numbers in variant.findings.values():
            require(len(numbers.reference) in (0, 10), f"variant {variant.name}'s reference has not ten bins")
            limits, threshold = numbers.abstention, numbers.operating_point.threshold
            around = limits is None or limits.low <= threshold <= limits.high
            require(around, f"variant {variant.name} abstains beside its threshold")
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
