"""The pictures of the documents: `make pictures` draws them, a test sees that they are up to date.

The screenshot shows what stands in a guide's console block, which `make docs` takes from the program itself.
"""

from __future__ import annotations

from pathlib import Path

from .drawing import SOFT, Box, Kind, arrow, page, panel, text
from .screenshot import screenshot
from .story import DOCS

PICTURES = DOCS / "pictures"
WIDTH = 1000


def pictures() -> dict[str, str]:
    """Every picture by its file name."""
    return {"way.svg": way(), "screening.svg": screenshot(DOCS / "programme-officer.md", "aidpost device screen")}


def way() -> str:
    """The way of the data, from labelled scans to a word per study."""
    top, below = 20, 360
    scans = _input(top + 50, "local scans", "labelled, in index.csv")
    base = _input(top + 132, "pretrained base", "a folder on the disk")
    adapt = _step(0, top, "adapt", "checks every row,", "trains the head and", "the last stages")
    evaluate = _step(1, top, "evaluate", "measures on patients", "it has never seen;", "report.html")
    quantize = _step(2, top, "quantize", "makes an INT8 graph,", "refuses it when it", "reads differently")
    pack = _step(3, top, "pack", "card, evidence,", "golden outputs,", "signature")
    bundle = Box(330, 268, 340, 66, "one signed file", ("carried on a stick; the fingerprint by phone",), "result")
    install = _input(below + 50, "install", "checks it, tries it out", kind="step")
    stored = _input(below + 132, "stored scans", "DICOM, PNG, JPEG, TIFF")
    decode = _step(0, below, "decode", "in bounded workers;", "a bad file gets a", "reason, not a score")
    score = _step(1, below, "score", "golden outputs first,", "then the model,", "then the rules")
    record = _step(2, below, "record", "on the disk before", "it counts: a power", "cut loses nothing")
    report = _step(3, below, "report", "REFER  UNSURE", "REPEAT  CLEAR", "and why", kind="result")
    boxes = (scans, base, adapt, evaluate, quantize, pack, bundle, install, stored, decode, score, record, report)
    arrows = [
        *(_into(one, adapt) for one in (scans, base)),
        *(_across(one, other) for one, other in ((adapt, evaluate), (evaluate, quantize), (quantize, pack))),
        arrow((pack.middle[0], pack.top + pack.height), (pack.middle[0], bundle.middle[1]), (672, bundle.middle[1])),
        arrow((bundle.left, bundle.middle[1]), (120, bundle.middle[1]), (120, install.top - 2)),
        *(_into(one, decode) for one in (install, stored)),
        *(_across(one, other) for one, other in ((decode, score), (score, record), (record, report))),
    ]
    grounds = [
        panel(20, top, WIDTH - 40, 222, "The hospital's workstation: aidpost export"),
        panel(20, below, WIDTH - 40, 222, "The clinic's box: aidpost device", indent=220),
        text(WIDTH - 40, top + 30, "data officer", size=14, anchor="end", fill=SOFT),
        text(WIDTH - 40, below + 30, "technician, clinic staff, programme officer", size=14, anchor="end", fill=SOFT),
        text(130, 282, "no network", size=13, anchor="start", fill=SOFT),
        text(WIDTH // 2, 610, "The machine sorts; a person decides.", size=14, fill=SOFT),
    ]
    description = "From labelled scans to a signed file on the workstation, from there to a word per study on the box"
    return page(WIDTH, 630, description, [*grounds, *arrows, *(box.draw() for box in boxes)])


def _input(top: int, title: str, line: str, *, kind: Kind = "thing") -> Box:
    """Make one of the two boxes at the left of a panel."""
    return Box(40, top, 160, 66, title, (line,), kind)


def _step(number: int, top: int, title: str, *lines: str, kind: Kind = "step") -> Box:
    """Make the box of a panel's step, the first being 0."""
    return Box(240 + 189 * number, top + 66, 152, 116, title, lines, kind)


def _across(one: Box, other: Box) -> str:
    return arrow((one.left + one.width, one.middle[1]), (other.left - 2, other.middle[1]))


def _into(one: Box, other: Box) -> str:
    """Lead from one of two boxes that stand above each other to the one beside them."""
    return arrow((one.left + one.width, one.middle[1]), (other.left - 2, one.middle[1]))


def main() -> None:
    """Write every picture."""
    PICTURES.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        Path(PICTURES / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
