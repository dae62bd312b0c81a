"""A decode worker: one file at a time, within its limits, until the pool closes its pipe."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module

import msgspec

from aidpost_device.decode.dicom import header_of
from aidpost_device.decode.guard import guarded
from aidpost_device.decode.landlock import give_up_rights
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.protocol import (
    Done,
    Facts,
    Inbox,
    Job,
    Ready,
    Refused,
    Same,
    Settings,
    parse_job,
    send,
)
from aidpost_device.decode.scan_file import Reader, ScanFile
from aidpost_device.errors import ScanError
from aidpost_device.prepare import Prepared

Task = Callable[..., Prepared]
"""`prepare.prepare_bytes`, or what stands in for it in a test: name, bytes, spec, limits → `Prepared`."""

_OPEN_FILES = 32
"""Handles a worker may hold: its two pipes, the file, and libraries that a decoder loads."""
_GRACE = 5.0
"""Seconds after the deadline at which a worker ends itself: the pool is gone, or it would have been killed."""


def serve(requests: int, replies: int, settings: bytes) -> None:
    """Work off the jobs from one pipe into the other. Returns when the pool is gone."""
    told = msgspec.msgpack.decode(settings, type=Settings)
    module, _, function = told.task.partition(":")
    task: Task = getattr(import_module(module), function)
    version = confine(told.limits)
    inbox = Inbox(requests, 2 * told.limits.file_bytes)
    reader = Reader(told.limits)
    send(replies, Ready(version))
    while True:
        try:
            for message in inbox.receive():
                send(replies, _answer(parse_job(message), reader, task, told))
        except (EOFError, BrokenPipeError):
            return


def confine(limits: Limits) -> int:
    """Give up what a decoder does not need, for good: memory beyond the limit, changing files, core dumps, chatter.

    Returns the version of Landlock that helped, 0 where there is none and only the limits hold.
    """
    pages = int(open("/proc/self/statm", encoding="ascii").read().split()[0])  # noqa: PTH123, SIM115 - one read
    memory = pages * resource.getpagesize() + limits.memory_bytes
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    os.close(silence)
    return give_up_rights()


def _answer(job: Job, reader: Reader, task: Task, told: Settings) -> Done | Refused | Same:
    start = time.perf_counter()
    facts = Facts()
    _allow(told.limits.seconds)
    try:
        file = _file(job, reader)
        facts = file.facts
        if job.hash_only:
            return Refused(facts, "", "", "", header_of(file.content, told.limits), _since(start))
        if job.known is not None and job.known == facts.sha256:
            return Same(facts, _since(start))
        with guarded("the preparation"):
            prepared = task(job.name, file.content, told.spec, told.limits)
            pixels = prepared.pixels.tobytes()
        return Done(facts, pixels, prepared.header, prepared.decoder, _since(start))
    except ScanError as error:
        return Refused(facts, error.reason, _named(job.name, error), error.hint, error.header, _since(start))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _file(job: Job, reader: Reader) -> ScanFile:
    return ScanFile(memoryview(job.content), Facts()) if job.path is None else reader.read(job.path)


def _named(name: str, error: ScanError) -> str:
    message = str(error)
    return message if message.startswith(name) else f"{name} {message}."


def _allow(seconds: float) -> None:
    """Move the limit on processor time, and the alarm that ends this process, to this file's deadline."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)


def _since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
