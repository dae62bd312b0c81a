"""Screening end to end, as a fraction of the machine's own limit and as a multiple of the naive loop."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.bench.films import SYNTAXES, write_films
from tests.bench.workshop import WORKSHOP, aidpost, data_folder, film_reader, installed, machine, table

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.variant import Variant
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.engine import Prediction

COUNTS = {"uncompressed": 1000, "JPEG lossless": 500, "JPEG 2000": 500}
SAMPLE = 16
"""Files for the limit and for the naive loop."""
ROUNDS = 3
WANTED = {"uncompressed": 6, "JPEG lossless": 4, "JPEG 2000": 8}


def main() -> None:
    """Print the table, one row per transfer syntax: medians of interleaved rounds."""
    data = data_folder()
    home = installed(film_reader(data))
    originals = sorted((data / "cxr_nih" / "originals").glob("*.png"))
    print(f"{machine()}; files of 2000x2500 pixels, 16 bits allocated, 12 stored\n")
    rows = []
    for syntax, count in COUNTS.items():
        films = write_films(WORKSHOP / "films" / syntax.replace(" ", "-"), syntax, originals, count)
        limits, naives, screenings = [], [], []
        for _ in range(ROUNDS):
            limits.append(limit(films[:SAMPLE], home))
            naives.append(naive(films[:SAMPLE], home))
            screenings.append(screening(films, home))
        fraction = statistics.median(bound / real for bound, real in zip(limits, screenings, strict=True))
        multiple = statistics.median(slow / real for slow, real in zip(naives, screenings, strict=True))
        figures = [f"{statistics.median(values) * 1000:.1f}" for values in (naives, limits, screenings)]
        rows.append((syntax, count, *figures, f"{fraction:.2f} (≥ 0.85)", f"{multiple:.1f} (≥ {WANTED[syntax]})"))
        print(*rows[-1], sep=", ", file=sys.stderr, flush=True)
        shutil.rmtree(films[0].parent)
    table(
        ["transfer syntax", "files", "naive, ms a file", "limit, ms", "screen, ms", "of the limit", "of naive"],
        rows,
    )


def screening(films: list[Path], home: Path) -> float:
    """Seconds a file of the whole command, start-up and reports included, into a fresh home and folder."""
    fresh, out = WORKSHOP / "fresh-home", WORKSHOP / "fresh-out"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(home, fresh, ignore=shutil.ignore_patterns("*.sqlite*", "*.db*"))
    begun = time.perf_counter()
    aidpost("device", "screen", films[0].parent, "--out", out, home=fresh)
    return (time.perf_counter() - begun) / len(films)


def limit(films: list[Path], home: Path) -> float:
    """Processor seconds a file of read, hash, decode, prepare and infer, over the cores.

    One process a core works at once: cores share caches and memory, and each alone is faster than all of them together.
    """
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn")) as processes:
        seconds = list(processes.map(_processor_seconds, [films] * cores, [home] * cores))
    return statistics.mean(seconds) / cores


def _processor_seconds(films: list[Path], home: Path) -> float:
    """Processor seconds a file in this process."""
    from aidpost_device.prepare import prepare_bytes

    run, spec = _engine(home)

    def one(path: Path) -> None:
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        run(prepare_bytes(path.name, content, spec).pixels[None])

    one(films[0])
    begun = time.process_time()
    for path in films:
        one(path)
    return (time.process_time() - begun) / len(films)


def naive(films: list[Path], home: Path) -> float:
    """Wall seconds a file of the loop one would write first: full decode, full window, resize, one session."""
    import onnxruntime
    from pydicom import dcmread
    from pydicom.pixels import apply_voi_lut

    from aidpost_device.engine import ONNX_ONLY

    bundle, variant, spec = _bundle(home)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*ONNX_ONLY)
    session = onnxruntime.InferenceSession(bundle.members[variant.file], options, providers=["CPUExecutionProvider"])

    def one(path: Path) -> None:
        hashlib.sha256(path.read_bytes()).hexdigest()
        dataset = dcmread(path)
        grey = apply_voi_lut(dataset.pixel_array, dataset).astype(np.float32)
        grey = (grey - grey.min()) / max(float(np.ptp(grey)), 1.0) * 255
        small = Image.fromarray(grey.astype(np.uint8)).resize((spec.size, spec.size), Image.Resampling.BILINEAR)
        session.run(None, {"pixels": np.asarray(small)[None, :, :, None]})

    one(films[0])
    begun = time.perf_counter()
    for path in films:
        one(path)
    return (time.perf_counter() - begun) / len(films)


def _bundle(home: Path) -> tuple[VerifiedBundle, Variant, ImageInput]:
    from aidpost_device.bundle.image_input import image_input
    from aidpost_device.bundle.install import active_bundle
    from aidpost_device.engine import host_target
    from aidpost_device.home import Home

    bundle = active_bundle(Home.at(home), None)
    name = bundle.manifest.targets[host_target()][0]
    variant = next(variant for variant in bundle.manifest.variants if variant.name == name)
    return bundle, variant, image_input(bundle.manifest)


def _engine(home: Path) -> tuple[Callable[[NDArray[np.uint8]], Prediction], ImageInput]:
    from aidpost_device.engine import Engine

    bundle, variant, spec = _bundle(home)
    return Engine.load(bundle, variant.name, threads=1).run, spec


if set(COUNTS) != set(SYNTAXES):
    raise SystemExit("every transfer syntax needs a count")
