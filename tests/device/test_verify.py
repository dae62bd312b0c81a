"""Tampering is a table: each change to a bundle is refused with its own error, and leaves no trace.

Where the content of a signed thing changes, the bundle is signed again after the change, so that only the check under
test can catch it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from aidpost_device.bundle import assemble, signature, trust_file
from aidpost_device.bundle.admit import admit, expiry_alarm, is_expired
from aidpost_device.bundle.container import read_container, write_container
from aidpost_device.bundle.install import Installed, active_bundle, install
from aidpost_device.bundle.manifest import SCHEMA, Field, Member, TableInput, serialise_manifest
from aidpost_device.bundle.verify import verify
from aidpost_device.errors import (
    AidpostError,
    BundleError,
    ContainerError,
    DigestError,
    ExpiredError,
    GoldenError,
    GraphError,
    ManifestError,
    RevokedKeyError,
    RollbackError,
    SignatureError,
    TargetError,
    UntrustedKeyError,
)
from aidpost_device.home import Home

from . import bundles
from .bundles import ROOT, STRANGER, TRUST, Draft
from .conftest import TODAY
from .test_engine import TO_NAN, rename_output, shifted
from .test_onnx_walk import EXTERNAL, FOREIGN

REVOKED = signature.generate()
PAST = "2025-12-31"  # the day before TODAY

Change = Callable[[Draft], bytes]
Case = tuple[Change, type[AidpostError], str]


def repacked(change: Callable[[dict[str, bytes]], object]) -> Change:
    """Change the members of a packed bundle, keeping manifest and signature."""

    def run(draft: Draft) -> bytes:
        members = read_container(draft.pack())
        change(members)
        return write_container(members)

    return run


def zipped(*more: tuple[str, bytes]) -> Change:
    """Add members with an ordinary zip program, which asks no questions."""

    def run(draft: Draft) -> bytes:
        stream = io.BytesIO(draft.pack())
        with zipfile.ZipFile(stream, "a") as file:
            for name, content in more:
                info = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
                info.filename = name
                file.writestr(info, content)
        return stream.getvalue()

    return run


def edited(change: Callable[[dict[str, object]], object]) -> Change:
    """Change the manifest's JSON and sign it again."""

    def run(draft: Draft) -> bytes:
        values = msgspec.json.decode(draft.manifest_bytes())
        change(values)
        return draft.seal(msgspec.json.encode(values, order="sorted"))

    return run


def _abstain(values: dict[str, Any], low: float, high: float) -> None:
    """Let the box be UNSURE between two limits."""
    limits = {"low": low, "high": high, "coverage": 0.95, "coverage_without": None, "unsure": 0.1}
    limits |= {"wanted": 0.95, "most": 0.2}
    values["variants"][0]["findings"]["opacity"]["abstention"] = limits


def modelled(change: Callable[[onnx.ModelProto], object], file: str = "model.onnx") -> Change:
    """Change a graph and sign the bundle again."""

    def run(draft: Draft) -> bytes:
        model = onnx.load_from_string(draft.members[file])
        change(model)
        return draft.with_model(model, file).seal()

    return run


def all_modelled(change: Callable[[onnx.ModelProto], object]) -> Change:
    """Change every variant's graph and sign the bundle again."""

    def run(draft: Draft) -> bytes:
        for file in ("model.onnx", "model.int8.onnx"):
            model = onnx.load_from_string(draft.members[file])
            change(model)
            draft = draft.with_model(model, file)
        return draft.seal()

    return run


def flipped(place: Callable[[bytes], int]) -> Change:
    """Flip the lowest bit of one byte of a packed bundle."""

    def run(draft: Draft) -> bytes:
        data = bytearray(draft.pack())
        data[place(bytes(data))] ^= 1
        return bytes(data)

    return run


def golden_off(draft: Draft) -> bytes:
    """Every variant's golden outputs moved by more than the tolerance."""
    for variant in ("float", "int8"):
        file = f"golden/noise-0.{variant}.f32"
        draft = draft.holding(file, shifted(draft.members[file], 0.01))
    return draft.seal()


def misdigested(draft: Draft) -> bytes:
    """A manifest, rightly signed, that lists another digest for a member."""
    listed = assemble.list_members(draft.manifest, draft.members)
    wrong = Member(sha256="0" * 64, size=len(draft.members["card.md"]))
    odd = msgspec.structs.replace(listed, members={**listed.members, "card.md": wrong})
    return draft.seal(serialise_manifest(odd))


def foreign_branches(model: onnx.ModelProto) -> None:
    """An If whose branch holds a foreign operator, as the runtime would load it."""
    branches = {
        name: helper.make_graph([helper.make_node("Steal", [], ["out"], domain="evil")], name, [], [])
        for name in ("then_branch", "else_branch")
    }
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["out"], **branches))


TAMPERED: dict[str, Case] = {
    # ---- the file
    "bit in the first header": (flipped(lambda data: 3), ContainerError, "not a bundle"),
    "bit in the manifest": (flipped(lambda data: data.index(b'"build"') + 8), ContainerError, "canonical"),
    "bit in the model": (flipped(lambda data: data.index(b"AveragePool")), ContainerError, "canonical"),
    "bit in the signature": (flipped(lambda data: data.index(b"signature") + 60), ContainerError, "canonical"),
    "bit in the directory": (flipped(lambda data: data.index(b"PK\x01\x02") + 8), ContainerError, "canonical"),
    "last bit": (flipped(lambda data: -1), ContainerError, "canonical"),
    "cut in half": (lambda draft: draft.pack()[: len(draft.pack()) // 2], ContainerError, "declares|cut off"),
    "cut by a byte": (lambda draft: draft.pack()[:-1], ContainerError, "canonical"),
    "empty": (lambda draft: b"", ContainerError, "not a bundle"),
    "bytes behind": (lambda draft: draft.pack() + b"PK\x03\x04", ContainerError, "canonical"),
    "huge declared size": (
        lambda draft: draft.pack()[:18] + b"\xff" * 8 + draft.pack()[26:],
        ContainerError,
        "declares 4294967295 bytes",
    ),
    # ---- the members
    "member added by zip": (zipped(("extra", b"x")), ContainerError, "canonical"),
    "member ../": (zipped(("../evil", b"x")), ContainerError, "unsafe"),
    "member absolute": (zipped(("/etc/passwd", b"x")), ContainerError, "unsafe"),
    "member twice": (zipped(("card.md", b"x")), ContainerError, "twice"),
    "member added": (repacked(lambda members: members.update(extra=b"x")), DigestError, r"unlisted \['extra'\]"),
    "member removed": (repacked(lambda members: members.pop("card.md")), DigestError, r"missing \['card.md'\]"),
    "member renamed": (
        repacked(lambda members: members.update({"card.txt": members.pop("card.md")})),
        DigestError,
        r"unlisted \['card.txt'\], missing \['card.md'\]",
    ),
    "member changed": (
        repacked(lambda members: members.update({"card.md": members["card.md"].upper()})),
        DigestError,
        "content of member card.md",
    ),
    "member longer": (
        repacked(lambda members: members.update({"card.md": members["card.md"] + b"\n"})),
        DigestError,
        "card.md has 19 bytes; 18 were signed",
    ),
    "members exchanged": (
        repacked(
            lambda members: members.update(
                {
                    "golden/noise-0.png": members["golden/noise-1.png"],
                    "golden/noise-1.png": members["golden/noise-0.png"],
                }
            )
        ),
        DigestError,
        "golden/noise-",
    ),
    "digest wrong, signed": (misdigested, DigestError, "card.md"),
    # ---- the signature
    "not signed": (repacked(lambda members: members.pop("signature")), SignatureError, "not signed"),
    "signature cut": (
        repacked(lambda members: members.update(signature=members["signature"][:64])),
        SignatureError,
        "64 bytes instead of 96",
    ),
    "signature of another bundle": (
        repacked(lambda members: members.update(signature=signature.sign(b"{}", ROOT))),
        SignatureError,
        "does not belong",
    ),
    "signed for another use": (
        repacked(
            lambda members: members.update(signature=signature.sign(members["manifest.json"], ROOT, signature.TRUST))
        ),
        SignatureError,
        "does not belong",
    ),
    "manifest changed": (
        repacked(
            lambda members: members.update(
                {"manifest.json": members["manifest.json"].replace(b'"build":6', b'"build":9')}
            )
        ),
        SignatureError,
        "does not belong",
    ),
    "signed by a stranger": (
        lambda draft: bundles.Draft(draft.manifest, draft.members, STRANGER).pack(),
        UntrustedKeyError,
        "does not accept",
    ),
    "signed by a revoked key": (
        lambda draft: bundles.Draft(draft.manifest, draft.members, REVOKED).pack(),
        RevokedKeyError,
        "revoked",
    ),
    # ---- the manifest, signed again
    "unknown key": (edited(lambda values: values.update(more=1)), ManifestError, "more"),
    "unknown key inside": (
        edited(lambda values: values["provenance"].update(author="x")),  # type: ignore[attr-defined]
        ManifestError,
        "author",
    ),
    "key missing": (edited(lambda values: values.pop("findings")), ManifestError, "findings"),
    "newer schema": (edited(lambda values: values.update(schema=SCHEMA + 1)), ManifestError, f"schema {SCHEMA + 1}"),
    "no manifest's form": (lambda draft: draft.seal(b" " + draft.manifest_bytes()), ManifestError, "canonical"),
    "not JSON": (lambda draft: draft.seal(b"\xff\xfe"), ManifestError, "cannot be accepted"),
    "deep JSON": (lambda draft: draft.seal(b"[" * 200_000), ManifestError, "cannot be accepted"),
    "key twice": (
        lambda draft: draft.seal(draft.manifest_bytes().replace(b'"build":6', b'"build":6,"build":7')),
        ManifestError,
        "canonical",
    ),
    "unsafe name": (edited(lambda values: values.update(name="../toy")), ManifestError, "name"),
    "name on two lines": (edited(lambda values: values.update(name="toy\n")), ManifestError, "name"),
    "digest on two lines": (
        edited(lambda values: values["provenance"].update(dataset_sha256="0" * 64 + "\n")),  # type: ignore[attr-defined]
        ManifestError,
        "dataset_sha256",
    ),
    "expiry on two lines": (edited(lambda values: values.update(expires="2030-01-01\n")), ManifestError, "matching"),
    "language on two lines": (
        edited(lambda values: values.update(title={"en": "x", "fr\n": "x"})),
        ManifestError,
        "tag",
    ),
    "unsafe version": (edited(lambda values: values.update(version="1/../../x")), ManifestError, "version"),
    "limits beside the threshold": (
        edited(lambda values: _abstain(values, low=0.6, high=0.7)),
        ManifestError,
        "abstains beside its threshold",
    ),
    "expiry that is no day": (edited(lambda values: values.update(expires="2026-02-30")), ManifestError, "2026-02-30"),
    "a table": (
        lambda draft: draft.having(input=TableInput(fields=(Field(name="age", type="number", unit="a"),))).seal(),
        BundleError,
        "tables",
    ),
    # ---- admission
    "older build": (lambda draft: draft.having(build=4).seal(), RollbackError, "older than build 5"),
    "same build, other content": (lambda draft: draft.having(build=5).seal(), RollbackError, "another content"),
    "expired": (lambda draft: draft.having(expires=PAST).seal(), ExpiredError, "expired on 2025-12-31"),
    "another machine's": (
        lambda draft: draft.having(targets={"pi4": ("float",)}).seal(),
        TargetError,
        "made for pi4, not x86",
    ),
    # ---- the model, signed again
    **{f"external data: {where}": (modelled(change), GraphError, "another file") for where, change in EXTERNAL.items()},
    **{f"foreign domain: {where}": (modelled(change), GraphError, "domain") for where, change in FOREIGN.items()},
    "foreign domain: both branches of an If": (modelled(foreign_branches), GraphError, "'evil'"),
    "external data in the second model": (
        modelled(EXTERNAL["function"], "model.int8.onnx"),
        GraphError,
        r"model\.int8\.onnx",
    ),
    "model cut": (lambda draft: draft.with_model(draft.members["model.onnx"][:-3]).seal(), GraphError, "declares"),
    "model that is none": (lambda draft: draft.with_model(b"GIF89a").seal(), GraphError, "model.onnx"),
    "model that the runtime takes for its own format": (
        # ir_version, then a producer's name that is the mark, then the good model
        lambda draft: draft.with_model(b"\x08\x01\x12\x04ORTM" + draft.members["model.onnx"]).seal(),
        GraphError,
        "own format",
    ),
    "model with a second graph": (
        lambda draft: draft.with_model(draft.members["model.onnx"] + b"\x3a\x00").seal(),
        GraphError,
        "2 graphs",
    ),
    "outputs that are not numbers": (all_modelled(TO_NAN), GoldenError, "not numbers"),
    "outputs under other names": (all_modelled(rename_output), GoldenError, "score"),
    "golden outputs that differ": (golden_off, GoldenError, "probability differs by 0.01"),
}


@pytest.fixture(scope="module")
def active() -> bytes:
    """What is installed before each attack: build 5."""
    return bundles.draft(build=5, version="0.5").pack()


@pytest.fixture(scope="module")
def following() -> Draft:
    """What the attacks start from: build 6, good."""
    return bundles.draft(build=6, version="0.6")


@pytest.fixture
def revoking(trusting: Home) -> Home:
    """A home that knows a revoked key."""
    trust_file.change(
        trusting, lambda trust: msgspec.structs.replace(trust, version=1, revoked=(bundles.key(REVOKED),))
    )
    return trusting


Install = Callable[..., Installed]
Snapshot = Callable[[Path], dict[str, bytes | None]]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_refused_and_leaves_no_trace(
    what: str, revoking: Home, install_here: Install, active: bytes, following: Draft, snapshot: Snapshot
) -> None:
    change, error, message = TAMPERED[what]
    install_here(active)
    before = snapshot(revoking.path)
    with pytest.raises(error, match=message) as caught:
        install_here(change(following))
    assert type(caught.value) is error
    assert caught.value.hint
    assert snapshot(revoking.path) == before
    assert active_bundle(revoking, "toy").manifest.build == 5


def test_the_table_starts_from_a_good_bundle(install_here: Install, active: bytes, following: Draft) -> None:
    install_here(active)
    assert install_here(following.pack()).changed


@pytest.mark.parametrize("what", ["signed by a stranger", "unknown key", "outputs that are not numbers", "expired"])
def test_a_refused_first_bundle_leaves_no_folder(
    what: str, trusting: Home, install_here: Install, following: Draft
) -> None:
    change, error, _ = TAMPERED[what]
    with pytest.raises(error):
        install_here(change(following))
    assert not trusting.bundles.exists()


class TestAnyBit:
    """No byte of the file is outside the signature's reach."""

    @settings(max_examples=400, deadline=None)
    @given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_flipped(self, packed: bytes, place: float, bit: int) -> None:
        data = bytearray(packed)
        data[int(place * len(data))] ^= 1 << bit
        with pytest.raises(BundleError) as caught:
            verify(bytes(data), TRUST)
        assert caught.value.hint

    @settings(max_examples=200, deadline=None)
    @given(start=st.floats(0, 1), removed=st.integers(0, 64), added=st.binary(max_size=64))
    def test_replaced(self, packed: bytes, start: float, removed: int, added: bytes) -> None:
        place = int(start * len(packed))
        data = packed[:place] + added + packed[place + removed :]
        if data == packed:
            return
        with pytest.raises(BundleError):
            verify(data, TRUST)

    def test_every_bit_of_the_signature(self, packed: bytes) -> None:
        """With the container mended, so that only the signature's own check is left."""
        members = read_container(packed)
        for bit in range(96 * 8):
            signed = bytearray(members["signature"])
            signed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SignatureError):
                verify(write_container({**members, "signature": bytes(signed)}), TRUST)


def test_what_is_verified(packed: bytes, draft: Draft) -> None:
    bundle = verify(packed, TRUST)
    assert dict(bundle.members) == dict(draft.members)
    assert bundle.manifest.name == "toy"
    assert bundle.key == signature.fingerprint(signature.public_bytes(ROOT))
    assert bundle.sha256 == hashlib.sha256(packed).hexdigest()
    with pytest.raises(TypeError):
        bundle.members["x"] = b""  # type: ignore[index]


def test_packing_is_deterministic(draft: Draft) -> None:
    assert draft.pack() == draft.pack()


def test_packing_refuses_what_the_box_would(draft: Draft) -> None:
    with pytest.raises(GraphError):
        draft.with_model(b"GIF89a").pack()


class TestAdmit:
    @pytest.mark.parametrize(
        ("expires", "now", "expired"),
        [
            (None, TODAY, False),
            (PAST, TODAY, True),
            (PAST, date(2025, 12, 31), False),
            (PAST, None, False),
            ("2030-01-01", TODAY, False),
        ],
    )
    def test_expiry(self, draft: Draft, expires: str | None, now: date | None, expired: bool) -> None:
        bundle = verify(draft.having(expires=expires).seal(), TRUST)
        assert is_expired(bundle.manifest, now) is expired
        assert (expiry_alarm(bundle.manifest, now) is not None) is expired
        if expired:
            with pytest.raises(ExpiredError):
                admit(bundle, TRUST, now, highest_build=0)
        else:
            admit(bundle, TRUST, now, highest_build=0)

    @pytest.mark.parametrize(("build", "highest", "older"), [(1, 0, False), (7, 7, False), (8, 7, False), (6, 7, True)])
    def test_builds(self, draft: Draft, build: int, highest: int, older: bool) -> None:
        bundle = verify(draft.having(build=build).seal(), TRUST)
        if older:
            with pytest.raises(RollbackError, match="older than build 7"):
                admit(bundle, TRUST, None, highest)
        else:
            admit(bundle, TRUST, None, highest)

    def test_a_key_revoked_since_verification(self, packed: bytes) -> None:
        bundle = verify(packed, TRUST)
        root = bundles.key(STRANGER)
        with pytest.raises(RevokedKeyError):
            admit(bundle, msgspec.structs.replace(TRUST, root=root, revoked=(bundles.key(ROOT),)), None, 0)
        with pytest.raises(UntrustedKeyError):
            admit(bundle, msgspec.structs.replace(TRUST, root=root), None, 0)


def test_installing_needs_trust(home: Home, packed: bytes) -> None:
    with pytest.raises(UntrustedKeyError) as caught:
        install(home, packed, TODAY, prepare=bundles.prepare, target="x86")
    assert "trust add" in caught.value.hint
