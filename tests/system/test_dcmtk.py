"""Decoding and windowing against a real peer, dcmtk: real files, compressed and read by other people's program.

Lossless compression and near-lossless JPEG-LS leave no freedom: equality is exact. Two decoders of lossy JPEG may
round differently: they may differ by `LOSSY` grey levels. Two programs that apply a window may too: by `SHOWN`.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from aidpost_device.bundle.manifest import ImageInput, Window
from aidpost_device.decode.decode import decode
from aidpost_device.decode.image import DecodedImage
from aidpost_device.decode.image import Window as FileWindow
from aidpost_device.errors import ScanError
from aidpost_device.prepare import prepare

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore")]

LOSSY = 2
"""Grey levels by which two decoders of lossy JPEG may differ."""
SHOWN = 1
"""Grey levels of 8 bits by which two windows may differ: one rounds, the other cuts off."""
FOLDER = Path("/usr/bin")
"""Where Debian has dcmtk. Never on PATH: Python packages install programs of the same names."""
DECOMPRESS = {
    "1.2.840.10008.1.2.4.50": "dcmdjpeg",
    "1.2.840.10008.1.2.4.51": "dcmdjpeg",
    "1.2.840.10008.1.2.4.57": "dcmdjpeg",
    "1.2.840.10008.1.2.4.70": "dcmdjpeg",
    "1.2.840.10008.1.2.4.80": "dcmdjpls",
    "1.2.840.10008.1.2.4.81": "dcmdjpls",
    "1.2.840.10008.1.2.5": "dcmdrle",
}
"""Transfer syntax → the program that undoes it."""
LOSSY_SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")

Dcmtk = Callable[..., bool]


@pytest.fixture(scope="module")
def dcmtk() -> Dcmtk:
    """Run one of dcmtk's programs; gives whether it did what was asked."""
    if not (FOLDER / "dcmdjpeg").exists():
        pytest.skip("dcmtk is not installed")

    def run(program: str, *arguments: str | Path) -> bool:
        done = subprocess.run([FOLDER / program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            print(program, *arguments, done.stderr)
        return done.returncode == 0

    return run


@pytest.fixture(scope="module")
def listed(data_folder: Path) -> list[tuple[Path, str]]:
    """The folder's single images with their transfer syntaxes, what is malformed on purpose apart."""
    corpus = data_folder / "dicom"
    with (corpus / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith(("wg04/", "varied/"))]
    return [(corpus / row["file"], row["ts_uid"]) for row in rows if row["frames"] in ("", "1")]


@pytest.fixture(scope="module")
def unpacked(
    dcmtk: Dcmtk, listed: list[tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, Path]:
    """The folder's compressed images → what dcmtk makes of them, uncompressed."""
    folder = tmp_path_factory.mktemp("unpacked")
    made = {path: folder / f"{path.stem}.dcm" for path, syntax in listed if syntax in DECOMPRESS}
    for path, syntax in listed:
        if path in made and not dcmtk(DECOMPRESS[syntax], path, made[path]):
            del made[path]
    return made


@pytest.fixture(scope="module")
def originals(listed: list[tuple[Path, str]], unpacked: dict[Path, Path]) -> list[Path]:
    """Uncompressed images: the folder's own, and one of each image that it has in compressed form only."""
    own = [path for path, syntax in listed if syntax in NATIVE and is_read(path)]
    films = [path for source, path in unpacked.items() if source.stem in FILMS]
    assert len(films) == len(FILMS)
    return own + films


FILMS = ("CT1_JLSL", "CT2_JLSN", "MR1_JLSL", "NM1_JPLL", "RG1_JLSN", "RG3_JLSN", "US1_RLE", "XA1_JPLL")


def is_read(path: Path) -> bool:
    try:
        read(path)
    except ScanError:
        return False
    return True


def read(path: Path) -> DecodedImage:
    return decode(path.name, path.read_bytes())


def difference(one: NDArray[np.generic], other: NDArray[np.generic]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())


# ---- what dcmtk uncompresses ----------------------------------------------------------------------------------------


def test_our_decoders_and_dcmtk_s_give_the_same(listed: list[tuple[Path, str]], unpacked: dict[Path, Path]) -> None:
    syntaxes = dict(listed)
    assert {path.name for path, syntax in listed if syntax in DECOMPRESS and path not in unpacked} <= REFUSED_BY_DCMTK
    compared: dict[str, int] = {}
    for path, plain in unpacked.items():
        theirs = pydicom.dcmread(plain).pixel_array
        allowed = LOSSY if syntaxes[path] in LOSSY_SYNTAXES else 0
        found = difference(read(path).pixels, theirs)
        assert found <= allowed, f"{path.name} differs by {found}"
        compared[syntaxes[path]] = compared.get(syntaxes[path], 0) + 1
    assert sum(compared.values()) >= 25
    assert compared.keys() >= DECOMPRESS.keys() - {"1.2.840.10008.1.2.4.57"}


REFUSED_BY_DCMTK = {"JLSL_08_07_0_1F.dcm"}  # 7 bits in 8, which dcmtk calls invalid


# ---- what dcmtk compresses ------------------------------------------------------------------------------------------

LOSSLESS = {
    "JPEG lossless, first order": ("dcmcjpeg", "+e1"),
    "JPEG lossless, process 14, predictor 6": ("dcmcjpeg", "+el", "+sv", "6"),
    "JPEG lossless, process 14, predictor 4": ("dcmcjpeg", "+el", "+sv", "4"),
    "JPEG-LS": ("dcmcjpls", "+el"),
    "RLE": ("dcmcrle",),
}
LOSSY_ENCODERS = {
    "JPEG baseline": ("dcmcjpeg", "+eb", "+s4"),
    "JPEG baseline, half the colour": ("dcmcjpeg", "+eb", "+s2"),
    "JPEG baseline in RGB": ("dcmcjpeg", "+eb", "+cr"),
    "JPEG extended": ("dcmcjpeg", "+ee"),
    "JPEG-LS near-lossless": ("dcmcjpls", "+en", "+md", "3"),
}


@pytest.mark.parametrize("encoder", LOSSLESS.values(), ids=LOSSLESS.keys())
def test_what_dcmtk_compresses_without_loss_is_read_as_the_original(
    encoder: tuple[str, ...], dcmtk: Dcmtk, originals: list[Path], tmp_path: Path
) -> None:
    compared = 0
    for original in originals:
        packed = tmp_path / f"{original.stem}.packed.dcm"
        if not dcmtk(*encoder, original, packed):  # it has its limits: no 32 bits, no halved colour
            continue
        before, after = read(original), read(packed)
        assert after.pixels.dtype == before.pixels.dtype, original.name
        np.testing.assert_array_equal(after.pixels, before.pixels, original.name)
        assert shown(after) == shown(before), original.name
        assert after.decoder != before.decoder
        compared += 1
    assert compared >= 18, f"only {compared} of {len(originals)} were compared"


def shown(image: DecodedImage) -> tuple[object, ...]:
    """How stored values are meant to be shown."""
    window = image.voi if isinstance(image.voi, FileWindow) else None
    return image.photometric, image.bits, image.slope, image.intercept, window, image.padding, image.rows, image.columns


@pytest.mark.parametrize("encoder", LOSSY_ENCODERS.values(), ids=LOSSY_ENCODERS.keys())
def test_what_dcmtk_compresses_with_loss_is_read_as_dcmtk_reads_it(
    encoder: tuple[str, ...], dcmtk: Dcmtk, originals: list[Path], tmp_path: Path
) -> None:
    allowed = LOSSY if encoder[0] == "dcmcjpeg" else 0
    compared = 0
    for original in originals:
        packed, plain = tmp_path / f"{original.stem}.packed.dcm", tmp_path / f"{original.stem}.plain.dcm"
        if not dcmtk(*encoder, original, packed):
            continue
        assert dcmtk(encoder[0].replace("dcmc", "dcmd"), packed, plain)
        found = difference(read(packed).pixels, read(plain).pixels)
        assert found <= allowed, f"{original.name} differs by {found}"
        compared += 1
    assert compared >= 12, f"only {compared} of {len(originals)} were compared"


# ---- what dcmtk shows -----------------------------------------------------------------------------------------------

STATED = {
    "CT2_JLSN": "+Wi",
    "MR1_JLSL": "+Wi",
    "RG1_JLSN": "+Wi",
    "RG3_JLSN": "+Wi",
    "MR_small_implicit": "+Wi",
    "MR_small_padded": "+Wi",
    "MR_small_bigendian": "+Wi",
    "vlut_04": "+Wl",
}
"""Images whose files state a window or, the last one, a table → dcmtk's option for it. RG1 and RG3 are MONOCHROME1."""
SET = {
    "CT1_JLSL": (40.0, 400.0),
    "CT2_JLSN": (35.0, 80.0),
    "XA1_JPLL": (500.0, 1000.0),
    "RG3_JLSN": (512.0, 900.0),
}
"""Images → centre and width of a window that is set; the first two state a rescale to Hounsfield units."""


@pytest.fixture
def picture(
    dcmtk: Dcmtk, originals: list[Path], tmp_path: Path
) -> Callable[..., tuple[DecodedImage, NDArray[np.uint8]]]:
    """Give an image, and what dcmtk shows of it with some options."""

    def render(stem: str, *options: str) -> tuple[DecodedImage, NDArray[np.uint8]]:
        (path,) = (path for path in originals if path.stem == stem)
        assert dcmtk("dcm2pnm", "+on", *options, path, tmp_path / "picture.png")
        with Image.open(tmp_path / "picture.png") as image:
            return read(path), np.asarray(image)

    return render


def prepared(image: DecodedImage, window: Window) -> NDArray[np.uint8]:  # (H, W)
    """Prepare an image at its own size; where it is not square, the borders are taken off again."""
    side = max(image.rows, image.columns)
    pixels = prepare(image, ImageInput(size=side, channels=1, fit="pad", window=window))[..., 0]
    top, left = (side - image.rows) // 2, (side - image.columns) // 2
    return pixels[top : top + image.rows, left : left + image.columns]


@pytest.mark.parametrize(("stem", "option"), STATED.items())
def test_a_file_s_own_window_shows_what_dcmtk_shows(
    stem: str, option: str, picture: Callable[..., tuple[DecodedImage, NDArray[np.uint8]]]
) -> None:
    image, theirs = picture(stem, option, "1")
    assert difference(prepared(image, Window()), theirs) <= SHOWN
    assert np.ptp(theirs) > 100, "a flat picture proves nothing"


@pytest.mark.parametrize(("stem", "window"), SET.items())
def test_a_window_that_is_set_shows_what_dcmtk_shows(
    stem: str, window: tuple[float, float], picture: Callable[..., tuple[DecodedImage, NDArray[np.uint8]]]
) -> None:
    center, width = window
    image, theirs = picture(stem, "+Ww", str(center), str(width))
    # DICOM's linear function, which dcmtk applies, ends on whole numbers; ours is the exact one.
    ours = prepared(image, Window(source="fixed", center=center - 0.5, width=width - 1))
    assert difference(ours, theirs) <= SHOWN
    assert np.ptp(theirs) > 100, "a flat picture proves nothing"
