"""Whether the heat map holds what it shows, on real data: against random maps, random weights, INT8; and the time."""

from __future__ import annotations

import sys
import time

from tests.bench.workshop import adapted, data_folder, machine, table


def main() -> None:
    """Check the map of each run anew and print what was found."""
    from aidpost_export.explanations.check import check_map
    from aidpost_export.explanations.record import FILE, Faithfulness
    from aidpost_export.progress import SilentReporter
    from aidpost_export.run import RunFolder
    from aidpost_export.sentences import signed_interval
    from aidpost_export.variant_record import read_variants
    from aidpost_export.variants import make_variants

    data = data_folder()
    base = data / "base" / "mobilenet_v2_1.0_224"
    runs = {
        "cxr_nih, adults": adapted("cxr_nih-full", "cxr-pneumonia", data / "cxr_nih", base),
        "cxr_kermany, children": adapted("cxr_kermany-full", "cxr-pneumonia", data / "cxr_kermany", base),
        "malaria_cells": adapted("malaria_cells-full", "smear-malaria", data / "malaria_cells", base),
    }
    print(machine() + "\n")

    def gains(found: Faithfulness | None) -> str:
        if found is None:
            return "too few cases"
        parts = (found.deletion_gain, found.insertion_gain, found.other_gain)
        return f"{found.cases} of {found.patients}: " + " / ".join(map(signed_interval, parts))

    rows = []
    for name, folder in runs.items():
        run, quiet = RunFolder(folder), SilentReporter()
        if "x86" not in read_variants(run):
            make_variants(run, ["x86"], quiet)
        (folder / FILE).unlink(missing_ok=True)
        made = read_variants(run)["x86"]
        started = time.process_time()
        found = check_map(run, [made], quiet)
        seconds = time.process_time() - started
        refusals = found.refusals(one.name for one in made.variants if one.quantisation)
        rows.append(
            (
                name,
                gains(found.calibration),
                gains(found.validation),
                f"{found.randomised.correlation:.2f}" if found.randomised else "",
                "; ".join(f"{one.correlation:.3f}, zones {_share(one.same_zone)}" for one in found.stability),
                f"{seconds:.0f} s",
                "; ".join(refusals) or "passes",
            )
        )
    header = ["run", "calibration", "validation", "random weights", "INT8", "processor time", "verdict"]
    table(header, rows)
    print("\nCases of people: gain of deletion / of insertion against random maps / of both against other cases' maps.")
    sys.stdout.flush()


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"
