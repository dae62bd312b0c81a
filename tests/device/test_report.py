"""The reports: every file has its row, whatever its name is; the page is self-contained and worst first."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aidpost_device.bundle.assemble import list_members
from aidpost_device.bundle.manifest import Acceptance, AgeRange, Finding, Manifest
from aidpost_device.decision import FindingDecision, Word, decide_scan
from aidpost_device.in_force import SitePrevalence, SiteSettings, SiteThreshold, in_force
from aidpost_device.reason import Reason
from aidpost_device.report import page
from aidpost_device.report.csv_table import COLUMNS
from aidpost_device.report.digest import REJECTIONS, STUDIES, Digest
from aidpost_device.report.path_text import path_text
from aidpost_device.report.picture import FAINTEST, SIDE, Picture, common_scale, plain, take, with_map
from aidpost_device.report.rank import leading
from aidpost_device.screening.outputs import write_tables
from aidpost_device.store.records import Model
from aidpost_device.store.rows import RejectedRow, Row, ScanRow

from . import bundles

MODEL = Model("toy", "1.0.0", "float", "e" * 64)
REFERRING = frozenset({"opacity", "nodule"})
PERSON = "P-AMINA"


def found(word: Word, probability: float = 0.5, label: str = "opacity", *reasons: Reason) -> FindingDecision:
    return FindingDecision(label, probability, 0.5, word, reasons)


def scan(name: str, *findings: FindingDecision, study: str = "", decision: Word | None = None) -> ScanRow:
    return ScanRow(
        path=f"/scans/{name}".encode(),
        sha256=(name.encode().hex() + "0" * 64)[:64],
        study=study or f"S-{name}",
        person=PERSON,
        decision=decision or decide_scan(findings),
        other_scan=False,
        findings=findings,
        model=MODEL,
        decoder="pillow-png 1",
        milliseconds=12.34,
    )


def rejected(name: bytes = b"/scans/broken", reason: str = "truncated") -> RejectedRow:
    return RejectedRow(name, None, reason, "It ends too early.", "Copy it again.", 3.21)


def digest_of(*rows: Row) -> Digest:
    digest = Digest(REFERRING)
    for row in rows:
        digest.add(row)
    return digest


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return bundles.draft(labels=("opacity", "nodule", "normal")).manifest


# ---- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/scans/a b.dcm", "/scans/a b.dcm"),
        ("/scans/été-жизнь-肺.png".encode(), "/scans/été-жизнь-肺.png"),
        (b"/scans/\xff\xfe.dcm", "/scans/\\xff\\xfe.dcm"),
        (b"/scans/a\nb\x1b[31m.dcm", "/scans/a\\x0ab\\x1b[31m.dcm"),
        (b"/scans/\\xff.dcm", "/scans/\\\\xff.dcm"),
        ("/scans/a\x9bb\u2028c".encode(), "/scans/a\\xc2\\x9bb\\xe2\\x80\\xa8c"),
    ],
)
def test_a_path_is_written_down(path: bytes, text: str) -> None:
    assert path_text(path) == text


@given(st.binary(), st.binary())
def test_two_paths_are_never_written_alike(one: bytes, other: bytes) -> None:
    assert (path_text(one) == path_text(other)) == (one == other)


@given(st.binary())
def test_a_path_as_text_is_one_printable_line(path: bytes) -> None:
    text = path_text(path)
    assert text.encode("utf-8").decode() == text
    assert not text or len(text.splitlines()) == 1


# ---- the table and the lines ----------------------------------------------------------------------------------------


def tables(folder: Path, manifest: Manifest, *rows: Row) -> tuple[list[dict[str, str]], list[dict[str, object]]]:
    write_tables(folder, rows, manifest)
    content = (folder / "readings.csv").read_text(encoding="utf-8")
    lines = (folder / "readings.jsonl").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(io.StringIO(content, newline=""))), [json.loads(line) for line in lines]


def test_a_scan_has_a_line_for_each_finding(tmp_path: Path, manifest: Manifest) -> None:
    row = scan(
        "a,b", found(Word.UNSURE, 0.123456789, "opacity", Reason.AGE_OUTSIDE, Reason.BETWEEN_LIMITS), found(Word.REFER)
    )
    (first, second), (line,) = tables(tmp_path, manifest, replace(row, other_scan=True))
    assert first == {
        "path": "/scans/a,b",
        "sha256": row.sha256,
        "study": "S-a,b",
        "finding": "opacity",
        "probability": "0.1234568",
        "finding_decision": "UNSURE",
        "decision": "REFER",
        "reasons": "age-outside;between-limits;other-scan",
        "region": "",
        "bundle": "toy",
        "bundle_version": "1.0.0",
        "variant": "float",
        "model_sha256": "e" * 64,
        "decoder": "pillow-png 1",
        "ms": "12.3",
        "threshold": "0.5",
        "local_probability": "",
    }
    assert tuple(first) == COLUMNS
    assert (second["finding_decision"], second["reasons"]) == ("REFER", "other-scan")
    assert line["decision"] == "REFER"
    assert line["person"] == PERSON
    assert line["findings"][0] == {  # type: ignore[index]
        "finding": "opacity",
        "probability": 0.123456789,
        "local_probability": None,
        "threshold": 0.5,
        "decision": "UNSURE",
        "reasons": ["age-outside", "between-limits"],
        "region": "",
    }


def test_a_rejected_file_has_one_line(tmp_path: Path, manifest: Manifest) -> None:
    (row,), (line,) = tables(tmp_path, manifest, rejected(b"/scans/\xff"))
    assert (row["path"], row["decision"], row["reasons"], row["ms"]) == (
        "/scans/\\xff",
        "REJECTED",
        "truncated",
        "3.2",
    )
    empty = ("sha256", "study", "finding", "probability", "finding_decision", "decoder", "variant", "threshold")
    assert {row[name] for name in empty} == {""}
    assert line == {
        "path": "/scans/\\xff",
        "sha256": None,
        "study": None,
        "person": None,
        "decision": "REJECTED",
        "reasons": ["truncated"],
        "message": "It ends too early.",
        "hint": "Copy it again.",
        "ms": 3.2,
    }


def test_what_lies_in_other_files_of_the_study_is_said(tmp_path: Path, manifest: Manifest, listed: Manifest) -> None:
    row = replace(scan("a", found(Word.CLEAR), decision=Word.UNSURE), film_unreadable=True)
    broken = replace(rejected(), study=row.study, person=PERSON)
    (first, second), (line, refused) = tables(tmp_path, manifest, row, broken)
    assert (first["decision"], first["reasons"]) == ("UNSURE", "film-unreadable")
    assert line["reasons"] == ["film-unreadable"]
    assert second["study"] == refused["study"] == row.study
    assert refused["person"] == PERSON
    text = Outline(page_of(listed, digest_of(row, broken))).text
    assert Reason.FILM_UNREADABLE.text in text
    assert Reason.FILM_UNREADABLE.hint in text


def test_no_cell_begins_like_a_formula(tmp_path: Path, manifest: Manifest) -> None:
    found_rows, _ = tables(tmp_path, manifest, scan("=1+1", found(Word.CLEAR)), rejected(b"/=cmd|calc"))
    assert not [cell for row in found_rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r")]


def test_tables_that_cannot_be_finished_leave_the_old_ones(tmp_path: Path, manifest: Manifest) -> None:
    tables(tmp_path, manifest, rejected())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def breaking() -> object:
        yield rejected(b"/scans/other")
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        write_tables(tmp_path, breaking(), manifest)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---- worst first ----------------------------------------------------------------------------------------------------


def test_the_page_begins_with_the_worst() -> None:
    digest = digest_of(
        scan("clear", found(Word.CLEAR, 0.4)),
        scan("refer-low", found(Word.REFER, 0.6)),
        scan("repeat", found(Word.REPEAT, 0.99)),
        scan("refer-high", found(Word.REFER, 0.9)),
        scan("unsure", found(Word.UNSURE, 0.5)),
    )
    assert [row.path for row, _ in digest.worst()] == [
        f"/scans/{name}".encode() for name in ("refer-high", "refer-low", "unsure", "repeat", "clear")
    ]


def test_a_study_is_shown_by_the_file_that_decides_it() -> None:
    one = {"study": "S-1", "decision": Word.REPEAT}
    digest = digest_of(
        scan("a", found(Word.UNSURE, 0.99), **one),  # type: ignore[arg-type]
        scan("b", found(Word.REPEAT, 0.2), **one),  # type: ignore[arg-type]
        scan("c", found(Word.CLEAR, 0.1), **one),  # type: ignore[arg-type]
    )
    ((row, study),) = digest.worst()
    assert row.path == b"/scans/b"
    assert study.files == {Word.UNSURE: 1, Word.REPEAT: 1, Word.CLEAR: 1}
    assert digest.studies == {Word.REPEAT: 1}
    assert digest.decided == {Word.REPEAT: 3}


def test_the_worst_are_found_among_many_in_any_order() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.permutation(1000) / 1000
    digest = digest_of(*(scan(f"{n}", found(Word.REFER, float(p))) for n, p in enumerate(probabilities)))
    shown = [digest.lead(row).probability for row, _ in digest.worst()]
    assert shown == sorted(probabilities, reverse=True)[:STUDIES]
    assert digest.studies[Word.REFER] == 1000


def test_what_does_not_refer_leads_only_alone() -> None:
    normal, opacity = found(Word.CLEAR, 0.97, "normal"), found(Word.CLEAR, 0.02)
    assert leading([normal, opacity], REFERRING) is opacity
    assert leading([normal], REFERRING) is normal
    assert leading([opacity, found(Word.REFER, 0.6, "nodule")], REFERRING).label == "nodule"


# ---- the page -------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects a page's tags, attributes and text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.text += data


def picture(level: int = 100) -> Picture:
    pixels = np.full((32, 32, 1), level, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 5.0
    return take(pixels, "opacity", heat)


def page_of(manifest: Manifest, digest: Digest, pictures: dict[str, Picture] | None = None, **header: object) -> str:
    site = header.pop("site", SiteSettings())
    assert isinstance(site, SiteSettings)
    facts: dict[str, object] = {"written": "2026-01-02", "unread": 0, "alarm": None, **header}
    return page.render(
        page.Header(
            manifest=manifest,
            variant=manifest.variants[0],
            bundle_sha256="b" * 64,
            rules=in_force(manifest, "b" * 64, manifest.variants[0], site),
            **facts,  # type: ignore[arg-type]
        ),
        digest,
        pictures or {},
    )


@pytest.fixture
def listed(manifest: Manifest) -> Manifest:
    """The manifest as a packed bundle lists its members."""
    return list_members(manifest, bundles.draft(labels=("opacity", "nodule", "normal")).members)


def test_the_page_is_self_contained(listed: Manifest) -> None:
    row = scan("a", found(Word.REFER, 0.9))
    outline = Outline(page_of(listed, digest_of(row, rejected()), {row.sha256: picture()}))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(outline.tags)
    addresses = [value for name, value in outline.attributes if name in ("src", "href", "action", "poster", "srcset")]
    assert len(addresses) == 2
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in outline.attributes


def test_what_comes_from_files_stays_text(listed: Manifest) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>&amp;'\""
    hostile = msgspec.structs.replace(
        listed,
        title={"en": evil},
        findings=tuple(msgspec.structs.replace(finding, names={"en": evil}) for finding in listed.findings),
    )
    rows = (scan(evil, found(Word.REFER, 0.9)), replace(rejected(evil.encode()), message=evil, hint=evil, reason=evil))
    outline = Outline(page_of(hostile, digest_of(*rows), alarm=evil))
    assert "script" not in outline.tags
    assert "img" not in outline.tags
    assert outline.text.count("<script>alert(1)</script>") >= 6


def test_the_page_says_what_must_be_said(listed: Manifest) -> None:
    digest = digest_of(
        scan("a", found(Word.REFER, 0.99999)),
        scan("b", found(Word.UNSURE, 0.5, "opacity", Reason.AGE_OUTSIDE)),
        scan("c", found(Word.CLEAR, 0.1, "opacity", Reason.AGE_UNKNOWN)),
        rejected(),
    )
    findings = (Finding(label="opacity", names={"en": "Opacity"}, age=AgeRange(low=15)), *listed.findings[1:])
    text = Outline(page_of(msgspec.structs.replace(listed, findings=findings), digest)).text
    for sentence in (
        "This is not a diagnosis.",
        "Synthetic data",
        Reason.AGE_OUTSIDE.text,
        Reason.AGE_UNKNOWN.text,
        "It ends too early.",
        "Copy it again.",
        "> 0.999",
        "90 % (80 % to 95 %)",
        "15 to 130",
        "1 cases to fit",
        "No picture",
        "toy 1.0.0, build 1, variant float",
    ):
        assert sentence in text, sentence
    assert "Incomplete" not in text
    assert PERSON not in text


def test_the_page_says_whose_threshold_and_prevalence_were_used(listed: Manifest) -> None:
    local = replace(found(Word.REFER, 0.8), threshold=0.3, local_probability=0.0712)
    digest = digest_of(scan("a", local, found(Word.CLEAR, 0.2, "nodule")))
    signed = {"author": "<i>Amina</i>", "reason": "fifteen tests", "at": "2026-03-04T05:06:07+00:00"}
    graph = {"bundle_sha256": "b" * 64, "variant": listed.variants[0].name, "finding": "opacity"}
    settings = SiteSettings(
        (SiteThreshold(threshold=0.3, **graph, **signed),),
        (SitePrevalence(bundle=listed.name, finding="opacity", prevalence=0.05, **signed),),
    )
    outline = Outline(page_of(listed, digest, site=settings))
    text = " ".join(outline.text.split())
    assert (
        "this site's threshold 0.300 is used instead of the bundle's 0.500. Set by <i>Amina</i> on 2026-03-04" in text
    )
    assert "prevalence of 5.0 % instead of the 50 % of the calibration cases. Set by <i>Amina</i>" in text
    assert "not measured at this threshold" in text
    assert "0.800here 0.071" in text
    assert "i" not in outline.tags
    without = Outline(page_of(listed, digest_of(scan("a", found(Word.REFER, 0.8))))).text
    assert "instead of" not in without
    assert "here 0." not in without


def test_the_page_lists_what_the_bundle_was_packed_in_spite_of(listed: Manifest) -> None:
    accepted = Acceptance(gate="group", subject="opacity: sex F", found="sensitivity 60%", reason="read twice here")
    few = Acceptance(gate="group", subject="opacity: age 65+", found="not shown: 3 positives", reason="")
    text = Outline(page_of(msgspec.structs.replace(listed, acceptances=(accepted, few)), digest_of(rejected()))).text
    assert "packed in spite of 1 gate, accepted by a person; 1 thing not judged" in text
    assert "opacity: sex F: sensitivity 60%. Accepted because: read twice here" in text
    assert "opacity: age 65+: not shown: 3 positives." in text
    assert "did not prove" not in Outline(page_of(listed, digest_of(rejected()))).text


def test_an_incomplete_page_says_so(listed: Manifest) -> None:
    text = Outline(page_of(listed, digest_of(rejected()), unread=7, alarm="It expired.")).text
    assert "Incomplete: 7 of 8 files are not read yet." in text
    assert "It expired." in text


def test_the_page_is_bounded_and_says_what_it_leaves_out(listed: Manifest) -> None:
    many = [scan(f"{n}", found(Word.REFER, n / 1000)) for n in range(STUDIES + 3)]
    refused = [rejected(f"/scans/bad-{n}".encode()) for n in range(REJECTIONS + 1)]
    outline = Outline(page_of(listed, digest_of(*many, scan("c", found(Word.CLEAR)), *refused)))
    assert outline.tags.count("article") == STUDIES
    assert f"The worst {STUDIES} of {STUDIES + 4} studies are shown. Not shown: 3 REFER, 1 CLEAR;" in outline.text
    assert f"The first {REJECTIONS} of {REJECTIONS + 1} are listed." in outline.text


def test_an_empty_page(listed: Manifest) -> None:
    assert "No file could be read." in Outline(page_of(listed, digest_of())).text


# ---- pictures -------------------------------------------------------------------------------------------------------


def pixels_of(address: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image)


def test_the_map_is_the_graph_s_own_and_lies_where_it_says() -> None:
    one = picture()
    drawn = with_map(one, scale=5.0)
    assert drawn is not None
    tint = pixels_of(drawn).astype(int)
    redness = tint[..., 0] - tint[..., 2]  # (H, W)
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert (row // 8, column // 8) == (1, 2)
    assert abs(redness[24:, :8]).max() <= 6  # untouched but for the JPEG
    assert pixels_of(plain(one)).shape == (32, 32)


def test_no_map_is_drawn_where_there_is_none() -> None:
    assert with_map(take(np.zeros((32, 32, 1), np.uint8), "opacity", None), 1.0) is None


def test_noise_is_not_blown_up_and_one_scale_serves_all() -> None:
    def with_peak(peak: float) -> Picture:
        return take(np.zeros((32, 32, 1), np.uint8), "opacity", np.full((4, 4), peak, np.float32))

    assert common_scale([]) == FAINTEST
    assert common_scale([with_peak(0.01), with_peak(-3.0)]) == FAINTEST
    assert common_scale([with_peak(4.0), with_peak(4.0)]) == 4.0


def test_pictures_are_small_and_grey_ones_stay_grey() -> None:
    large = take(np.full((1024, 1024, 3), 7, np.uint8), "opacity", None)
    assert large.pixels.shape == (SIDE, SIDE, 1)
    colour = np.zeros((1000, 500, 3), np.uint8)
    colour[..., 1] = 9
    assert take(colour, "opacity", None).pixels.shape == (SIDE, SIDE // 2, 3)


def test_black_borders_are_left_out() -> None:
    pixels = np.zeros((32, 32, 1), np.uint8)
    pixels[8:24] = 90
    assert pixels_of(plain(take(pixels, "opacity", None))).shape == (16, 32)
    assert pixels_of(plain(take(pixels * 0, "opacity", None))).shape == (32, 32)
