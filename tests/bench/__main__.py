"""`make bench` runs all of them, `make bench BENCH=NAME` one."""

from __future__ import annotations

import os
import sys
from importlib import import_module

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

BENCHES = {
    "coldstart": "start-up: wall time and memory of one scan from cold, and of --help",
    "throughput": "screening end to end against the machine's limit and against the naive loop",
    "quantisation": "INT8 against float: speed, AUROC, flips, for MobileNetV2 and ResNet-18",
    "transfer": "the children's network on adults, before and after adaptation with 50 to all local labels",
    "groups": "sensitivity by group, and coverage, share and cost of UNSURE, on real data (some 20 minutes)",
    "explanations": "whether the heat map holds what it shows, on real data (about four minutes a run)",
    "detectors": "false alarms on real scans, faults by grade, other images by source (about an hour)",
    "accuracy": "AUROC on real data from the packed bundle's own readings (about an hour)",
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, all without a name."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(BENCHES)}.")
    for name in names or BENCHES:
        print(f"\n## {name}: {BENCHES[name]}\n", flush=True)
        import_module(f"tests.bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
