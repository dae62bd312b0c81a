"""Shadow reading: another bundle reads the last stored scans, and nothing of it becomes a reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from aidpost_device.bundle.install import Prepare, active_bundle, rehearse
from aidpost_device.bundle.manifest import Manifest
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.decision import decide_again, require_applicable
from aidpost_device.decode.pool import DecodePool
from aidpost_device.engine import Engine, Target
from aidpost_device.errors import PreviewError
from aidpost_device.home import Home
from aidpost_device.in_force import InForce, in_force
from aidpost_device.preview.comparison import Pair, compare
from aidpost_device.preview.outcome import Preview
from aidpost_device.screening.parallel import read_scans
from aidpost_device.screening.reader import Read, Reader
from aidpost_device.store.previews import PreviewRecord, ReadScan
from aidpost_device.store.records import Reading
from aidpost_device.store.store import Store

LAST = 200
"""Stored scans that are read unless another number is given."""

Progress = Callable[[int, int], None]
"""Called with the scans done and the scans wanted."""


def preview(
    home: Home,
    data: bytes,
    now: date | None,
    *,
    last: int = LAST,
    prepare: Prepare,
    target: Target,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Preview:
    """Try a bundle out as an install does, let it read the last stored scans, and compare.

    Nothing is installed and no reading is added. Raises an `AidpostError` where the bundle would not install, where
    there is nothing to compare with, and where no scan can be read.
    """
    rehearsed = rehearse(home, data, now, prepare=prepare, target=target)
    verified, state = rehearsed.verified, rehearsed.state
    manifest = verified.manifest
    if state is None:
        raise PreviewError(
            f"No bundle is active as {manifest.name}: there is nothing to compare with.",
            "Install it without a preview: aidpost device install FILE",
        )
    if state.active.sha256 == verified.sha256:
        raise PreviewError(f"{manifest.name} {manifest.version} is the active bundle.", "Nothing would change.")
    with Store(home.store_file) as store:
        wanted, site = store.last_scans(state.active.sha256, last), store.site_settings()
    if not wanted:
        raise PreviewError(
            f"The active bundle {state.active.version} of {manifest.name} has read no scan here yet.",
            "Install the other one without a preview: aidpost device install FILE",
        )
    old = active_bundle(home, manifest.name).manifest
    before = in_force(old, state.active.sha256, old.variant(state.active.variant), site)
    after = in_force(manifest, verified.sha256, manifest.variant(rehearsed.variant), site)
    wanted = [_by_rules(scan, old, before) for scan in wanted]
    pairs = list(_read_again(wanted, verified, rehearsed.variant, after, workers, progress))
    if not pairs:
        raise PreviewError(
            f"None of the {len(wanted)} scans that {state.active.version} read last is where it was.",
            "Connect the disk that they are on and give the command again, or install it with --without-preview.",
        )
    return Preview(
        bundle=manifest.name,
        old_version=old.version,
        old_sha256=state.active.sha256,
        new_version=manifest.version,
        new_sha256=verified.sha256,
        variant=rehearsed.variant,
        wanted=len(wanted),
        unavailable=len(wanted) - len(pairs),
        comparison=compare(pairs, _thresholds(before), _thresholds(after)),
    )


def record(home: Home, made: Preview) -> None:
    """Keep that a preview was made: from now on this bundle may take the place of the one it was held against."""
    with Store(home.store_file) as store:
        store.record_preview(
            PreviewRecord(
                bundle=made.bundle,
                bundle_sha256=made.new_sha256,
                active_sha256=made.old_sha256,
                wanted=made.wanted,
                scans=made.comparison.scans,
                unavailable=made.unavailable,
                changed=len(made.comparison.changes),
                result_sha256=made.sha256,
            )
        )


def _read_again(
    wanted: list[ReadScan],
    bundle: VerifiedBundle,
    variant: str,
    rules: Mapping[str, InForce],
    workers: int | None,
    progress: Progress | None,
) -> Iterator[Pair]:
    """Read the scans that are still there with their content; look for each in the places where it was seen."""
    spec, missing, done = require_applicable(bundle.manifest), {scan.sha256: scan for scan in wanted}, 0
    count = max(1, min(workers or os.cpu_count() or 1, len(wanted)))
    reader = Reader(Engine.load(bundle, variant), bundle.manifest, rules)
    with DecodePool(count, spec) as pool:
        for place in range(max(len(scan.paths) for scan in wanted)):
            paths = dict.fromkeys(scan.paths[place] for scan in missing.values() if place < len(scan.paths))
            results = pool.results([Path(os.fsdecode(path)) for path in paths])
            # Only the content says which scan a file is; one that holds another content now is not read at all.
            for result, found in read_scans(results, reader, lambda sha256: sha256 not in missing, count):
                scan = missing.pop(result.sha256 or "", None)
                if scan is not None:
                    done += 1
                    if progress:
                        progress(done, len(wanted))
                    yield _pair(scan, found)


def _by_rules(scan: ReadScan, manifest: Manifest, rules: Mapping[str, InForce]) -> ReadScan:
    """Decide what the active bundle found by what is in force now: some scans were read before a setting changed."""
    known = {finding.label: finding for finding in manifest.findings}
    return replace(scan, findings=tuple(decide_again(known[one.label], rules[one.label], one) for one in scan.findings))


def _pair(scan: ReadScan, found: Read | None) -> Pair:
    """Set beside a scan what the new bundle says of it; nothing where it rejects or can no longer decode it."""
    outcome = None if found is None else found.outcome
    if isinstance(outcome, Reading):
        return Pair(scan.study, scan.person, scan.findings, outcome.findings)
    return Pair(scan.study, scan.person, scan.findings, (), film_lost=outcome is None or outcome.film_lost)


def _thresholds(rules: Mapping[str, InForce]) -> dict[str, float]:
    return {label: rule.threshold for label, rule in rules.items()}
