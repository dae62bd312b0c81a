"""INT8 against float for two backbones: what the gates measured on the calibration cases, and the files' sizes."""

from __future__ import annotations

from pathlib import Path

from tests.bench.workshop import adapted, aidpost, data_folder, machine, table


def main() -> None:
    """Print one row per candidate that was tried."""
    from aidpost_export.run import RunFolder
    from aidpost_export.variant_record import FLOAT, graph_file, read_variants

    data = data_folder()
    smears = data / "malaria_cells"
    base = data / "base" / "mobilenet_v2_1.0_224"
    runs = {
        "MobileNetV2": adapted("malaria_cells-full", "smear-malaria", smears, base),
        "ResNet-18": adapted(
            "resnet", "smear-malaria", smears, "random", "--architecture", "resnet-18", "--limit", "400"
        ),
    }
    print(machine() + "\n")
    rows = []
    for name, folder in runs.items():
        run = RunFolder(folder)
        if "x86" not in read_variants(run):
            aidpost("export", "quantize", folder, "--target", "x86")
        size = _megabytes(graph_file(run, FLOAT))
        for one in read_variants(run)["x86"].attempts:
            kept = graph_file(run, one.name)
            sizes = f"{_megabytes(kept)} of {size} MB" if not one.refusals else ""
            speed = f"{one.speed:.2f}x" if one.speed else "not timed"
            verdict = "; ".join(one.refusals) or "ships"
            tried = f"{one.calibration}, float stages: {one.float_stages}"
            rows.append((name, tried, speed, f"{one.auroc_change:+.4f}", f"{one.flips:.2%}", sizes, verdict))
    header = ["backbone", "candidate", "speed against float", "AUROC change", "flips", "size", "verdict"]
    table(header, rows)


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"
