"""Batch screening: pool workers read, decode and prepare; threads of this process infer and decide; it records.

Killed at any instant and started again, it goes on: a file is done when its row is in the store, and the reports are
written from the store at the end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from aidpost_device.bundle.admit import expiry_alarm
from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.verify import VerifiedBundle
from aidpost_device.clock import today
from aidpost_device.decision import BLANK_CONTRAST, RULES, require_applicable
from aidpost_device.decode.fork_server import ForkServer
from aidpost_device.decode.pool import DecodePool, KnownScan, RejectedScan
from aidpost_device.decode.result import Result
from aidpost_device.home import Home
from aidpost_device.in_force import InForce, SiteSettings, fingerprint, in_force, set_aside
from aidpost_device.screening import outputs
from aidpost_device.screening.gallery import Gallery, collect_pictures
from aidpost_device.screening.parallel import read_scans
from aidpost_device.screening.recorder import Recorder
from aidpost_device.screening.rejected import describe
from aidpost_device.screening.resume import offer, remaining
from aidpost_device.screening.source import absolute, list_files
from aidpost_device.store.records import Item, Known, ReadingKey, Stamp
from aidpost_device.store.store import Store

if TYPE_CHECKING:
    from aidpost_device.report.digest import Digest
    from aidpost_device.report.picture import Picture
    from aidpost_device.screening.reader import Read, Reader

Progress = Callable[[int, int], None]
"""Called with the files done and the files found."""


class Settings(msgspec.Struct, frozen=True):
    """What a reading depends on besides the bundle. Readings are keyed by its digest."""

    variant: str
    """The graph that reads: another one gives other probabilities."""
    site: tuple[tuple[str | float, ...], ...] = ()
    """What the site has set for this bundle and variant, by finding."""
    rules: int = RULES
    blank_contrast: int = BLANK_CONTRAST

    @property
    def sha256(self) -> str:
        """Digest of the settings."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What a screening came to."""

    digest: Digest
    variant: str
    """The variant of the bundle that was run."""
    files: int
    """Files found."""
    read: int
    """Files read or rejected in this run."""
    before: int
    """Files that were done before: by this screening, or by an earlier one that found the same content there."""
    unread: int
    """Files that are not read yet, because it was stopped."""
    seconds: float
    alarm: str | None = None
    """Why the site's threshold was not used."""

    @property
    def complete(self) -> bool:
        """Whether all files were read."""
        return not self.unread


def screen(
    home: Home,
    bundle: VerifiedBundle,
    paths: Sequence[Path],
    out: Path,
    *,
    listed: Sequence[Path] = (),
    workers: int | None = None,
    prefer: str | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    server: ForkServer | None = None,
) -> Outcome:
    """Screen files and folders into `out`, going on where an earlier run of the same was cut.

    `listed` paths may be missing; `prefer` is the variant to try first; `stop` is asked before each file is begun;
    `server` is the decode workers' parent, where it was started early.
    Raises an `AidpostError`; what was read until then is kept.
    """
    started = monotonic()
    spec = require_applicable(bundle.manifest)
    listing = list_files(paths, listed, skip=(out, home.path))
    workers = max(1, min(workers or os.cpu_count() or 1, len(listing.files)))
    with (
        outputs.output_folder(out),
        DecodePool(workers, spec, server=server) as pool,
        Store(home.store_file) as store,
    ):
        site = store.site_settings()
        reader = _open_reader(bundle, pool, prefer, site)
        key = ReadingKey(bundle.sha256, Settings(reader.variant, fingerprint(reader.rules)).sha256)
        screening = store.begin(absolute(out), listing.sha256, key)
        todo = remaining(store, screening, listing)
        gallery, files = Gallery(), len(listing.files)
        before, read = files - len(todo), 0
        with Recorder(store, screening) as recorder:
            results = pool.results(offer(todo, stop), store.expected(key, todo))
            scans = read_scans(results, reader, recorder.has_reading, workers)
            for was_known in _record(scans, reader, recorder, gallery, spec):
                before, read = before + was_known, read + (not was_known)
                if progress:
                    progress(before + read, files)
        unread = files - before - read
        digest = outputs.write_tables(out, store.rows(screening), bundle.manifest)
        pictures = collect_pictures(digest, gallery, pool, reader)
        alarm = set_aside(bundle.manifest, bundle.sha256, bundle.manifest.variant(reader.variant), site)
        seconds = monotonic() - started
        outcome = Outcome(digest, reader.variant, len(listing), read, before, unread, seconds, alarm)
        outputs.write_page(out, _page(bundle, outcome, reader.rules, pictures))
        if outcome.complete:
            store.finish(screening)
            outputs.mark_complete(out)
    return outcome


def _open_reader(bundle: VerifiedBundle, pool: DecodePool, prefer: str | None, site: SiteSettings) -> Reader:
    # Imported only now, so that the runtime is loaded here while the workers load their decoders.
    from aidpost_device.engine import host_target
    from aidpost_device.golden import open_engine
    from aidpost_device.screening.reader import Reader

    engine = open_engine(bundle, host_target(), pool.prepare, prefer=prefer)
    return Reader(engine, bundle.manifest, in_force(bundle.manifest, bundle.sha256, engine.variant, site))


def _record(
    scans: Iterable[tuple[Result, Read | None]],
    reader: Reader,
    recorder: Recorder,
    gallery: Gallery,
    accepted: ImageInput,
) -> Iterator[bool]:
    """Record scans as they come, and keep pictures of the worst; yields of each whether it held what was expected."""
    for scan, found in scans:
        stamp = Stamp(os.fsencode(scan.path), scan.size_bytes, scan.mtime_ns)
        if isinstance(scan, RejectedScan):
            recorder.add(Item(stamp, describe(scan, scan.reason, scan.message, scan.hint, accepted)))
        elif isinstance(scan, KnownScan) or found is None:
            recorder.add(Item(stamp, Known(scan.sha256)))
        else:
            recorder.add(Item(stamp, found.outcome))
            if found.shown is not None and gallery.wants(found.shown.rank):
                gallery.offer(scan.sha256, found.shown.rank, reader.picture(scan.pixels, found.shown))
        yield isinstance(scan, KnownScan)


def _page(
    bundle: VerifiedBundle, outcome: Outcome, rules: Mapping[str, InForce], pictures: Mapping[str, Picture]
) -> str:
    from aidpost_device.report.page import Header, render

    now, manifest = today(), bundle.manifest
    header = Header(
        manifest=manifest,
        variant=manifest.variant(outcome.variant),
        bundle_sha256=bundle.sha256,
        rules=rules,
        written=now.isoformat() if now else "",
        unread=outcome.unread,
        alarm=" ".join(filter(None, (expiry_alarm(manifest, now), outcome.alarm))) or None,
    )
    return render(header, outcome.digest, pictures)
