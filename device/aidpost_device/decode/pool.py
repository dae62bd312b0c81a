"""Decodes files in bounded workers that were forked in advance: a file can at worst spoil the worker that reads it.

Each worker has one file running and one queued, so that none waits while the caller works. No thread is involved: the
pool acts whenever the caller asks for the next result.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.fork_server import ForkServer
from aidpost_device.decode.limits import DEFAULT_LIMITS, Limits
from aidpost_device.decode.protocol import Done, Job, Refused, Same, Settings
from aidpost_device.decode.reason import Reason
from aidpost_device.decode.result import KnownScan as KnownScan
from aidpost_device.decode.result import PreparedScan as PreparedScan
from aidpost_device.decode.result import RejectedScan as RejectedScan
from aidpost_device.decode.result import Result
from aidpost_device.decode.worker_handle import Task, WorkerHandle, WorkerLostError
from aidpost_device.errors import DecodeServiceError, ScanError

TASK = "aidpost_device.prepare:prepare_bytes"
"""What a worker does with a file: `module:function`."""

_NOTHING_KNOWN: Mapping[bytes, str] = MappingProxyType({})
_TASKS_PER_WORKER = 2
_HARDLY_RAN = 0.5
"""Processor seconds per second of the deadline below which a worker was kept from working, or hangs."""
_REPLY_OVERHEAD = 2**16
"""Bytes of a reply beside its pixels, at most."""
_SIGNALS = {number.value: number.name for number in signal.Signals}
"""Most real-time signals have no name."""


class DecodePool:
    """A bounded number of decode workers. A context manager; closing it ends every process it has started."""

    def __init__(
        self,
        workers: int,
        spec: ImageInput,
        limits: Limits = DEFAULT_LIMITS,
        *,
        server: ForkServer | None = None,
        task: str = TASK,
    ) -> None:
        """Make a pool; workers are forked when there is work for them.

        `server`: a fork server that was started early; the pool closes it. `task`: another function with the
        signature of `prepare.prepare_bytes`.
        """
        self._most = max(1, workers)
        self._limits = limits
        self._shape = (spec.size, spec.size, spec.channels)
        self._settings = msgspec.msgpack.encode(Settings(spec, limits, task))
        self._server = server or ForkServer()
        self._workers: list[WorkerHandle] = []
        self._returned: deque[Task] = deque()
        self._in_use = False
        self._closed = False

    @overload
    def results(self, paths: Iterable[Path]) -> Iterator[PreparedScan | RejectedScan]: ...

    @overload
    def results(self, paths: Iterable[Path], known: Mapping[bytes, str]) -> Iterator[Result]: ...

    def results(self, paths: Iterable[Path], known: Mapping[bytes, str] = _NOTHING_KNOWN) -> Iterator[Result]:
        """Yield one result per path, in the order in which they are ready. Paths are drawn only as they are needed.

        `known`: by absolute path, the digest of a content that need not be decoded again if the file still holds it.
        No file raises. `DecodeServiceError` says that the service itself has failed.
        """
        return self._run(_file_task(path, known) for path in paths)

    def prepare(self, name: str, data: bytes) -> NDArray[np.uint8]:  # (S, S, C)
        """Prepare one encoded file that is already in memory. Raises `ScanError`."""
        (result,) = self._run(iter([Task(name, Job(name, None, data))]))
        if isinstance(result, PreparedScan):
            return result.pixels
        if isinstance(result, KnownScan):
            raise RuntimeError("a content in memory is never known before")
        error = ScanError(result.reason, result.message, result.hint)
        error.header = result.header
        raise error

    @property
    def landlock(self) -> int | None:
        """Version of Landlock that confines the workers, 0 where the kernel has none; None before the first reply."""
        return min((worker.landlock for worker in self._workers if worker.landlock is not None), default=None)

    def close(self) -> None:
        """End every worker and the fork server. May be called again."""
        if self._closed:
            return
        self._closed = True
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        self._server.close()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the loop -----------------------------------------------------------------------------------------------

    def _run(self, tasks: Iterator[Task]) -> Iterator[Result]:
        if self._closed or self._in_use:
            raise RuntimeError("a pool serves one iteration at a time, and none once it is closed")
        self._in_use = True
        try:
            for result in self._answers(tasks):
                yield result
                self._require_open()  # whoever took the result may have closed the pool: its handles are others' now
            self._require_open()
        finally:
            self._in_use = False
            self._returned.clear()
            with contextlib.suppress(DecodeServiceError):  # it is on its way already, or nobody waits for an answer
                for worker in [worker for worker in self._workers if worker.tasks]:
                    self._remove(worker)

    def _answers(self, tasks: Iterator[Task]) -> Iterator[Result]:
        self._fill(tasks)
        while any(worker.tasks for worker in self._workers):
            for worker in self._await():
                yield from self._collect(worker, tasks)
            for worker in self._overdue():
                slow = f"took longer than {self._limits.seconds:g} seconds"
                yield from self._replace(worker, tasks, Reason.TOO_SLOW, slow)

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the pool was closed before it had answered")

    def _fill(self, tasks: Iterator[Task]) -> None:
        """Give tasks to workers until each has enough or there are none left."""
        while True:
            sound = [worker for worker in self._workers if not worker.lost]
            worker = min(sound, key=lambda worker: len(worker.tasks), default=None)
            may_hire = len(self._workers) < self._most
            if not may_hire and (worker is None or len(worker.tasks) >= _TASKS_PER_WORKER):
                return
            task = self._returned.popleft() if self._returned else next(tasks, None)
            if task is None:
                return
            if worker is None or (worker.tasks and may_hire):
                worker = self._hire()
            try:
                worker.give(task)
            except WorkerLostError:
                self._returned.appendleft(task)
                if not worker.tasks:  # else its end is noticed with the task that it was working on
                    self._dismiss(worker)

    def _hire(self) -> WorkerHandle:
        pixel_bytes = self._shape[0] * self._shape[1] * self._shape[2]
        worker = WorkerHandle(self._server, self._settings, pixel_bytes, pixel_bytes + _REPLY_OVERHEAD)
        self._workers.append(worker)
        return worker

    def _remove(self, worker: WorkerHandle) -> int | None:
        self._workers.remove(worker)
        return worker.bury()

    def _dismiss(self, worker: WorkerHandle) -> int | None:
        """Remove a spoilt worker and return how it ended. Raises `DecodeServiceError` when it never was a sound one."""
        status = self._remove(worker)
        if not worker.ready:
            raise DecodeServiceError(
                f"A decode worker could not start ({_describe(status)}).", "Free some memory and run the command again."
            )
        return status

    def _await(self) -> list[WorkerHandle]:
        """Wait for replies, or until the next deadline."""
        due = min(worker.due(self._limits.seconds) for worker in self._workers if worker.tasks)
        return self._readable(max(0.0, due - time.monotonic()))

    def _readable(self, seconds: float) -> list[WorkerHandle]:
        poll = select.poll()
        handles = {worker.replies: worker for worker in self._workers}
        for handle in handles:
            poll.register(handle, select.POLLIN)
        return [handles[handle] for handle, _ in poll.poll(1000 * seconds)]

    def _overdue(self) -> list[WorkerHandle]:
        """Return the workers that are past their deadline and have still not answered."""
        now = time.monotonic()
        late = [worker for worker in self._workers if worker.tasks and worker.due(self._limits.seconds) <= now]
        answered = self._readable(0) if late else []
        return [worker for worker in late if worker not in answered]

    def _collect(self, worker: WorkerHandle, tasks: Iterator[Task]) -> Iterator[Result]:
        lost = False
        try:
            answered = worker.receive()
        except WorkerLostError as error:
            answered, lost = error.answered, True
        if not lost:
            self._fill(tasks)
        for task, reply in answered:
            yield self._result(task, reply)
        if lost:
            yield from self._replace(worker, tasks, Reason.DECODER_CRASHED, "ended its decoder")

    def _replace(self, worker: WorkerHandle, tasks: Iterator[Task], reason: Reason, message: str) -> Iterator[Result]:
        """Dismiss a spoilt worker: its file is judged, what was queued behind it goes to another.

        Clocks go on while a command is suspended (Ctrl-Z) or has no processor: a file whose time ran out without much
        work done gets one more try.
        """
        hardly_ran = worker.worked < _HARDLY_RAN * self._limits.seconds
        may_retry = hardly_ran and bool(worker.tasks) and not worker.tasks[0].retried
        status = self._remove(worker) if may_retry and reason is Reason.TOO_SLOW else self._dismiss(worker)
        if not worker.tasks:
            return
        culprit, *queued = worker.tasks
        self._returned.extend(queued)
        verdict = culprit.verdict
        if may_retry and (reason is Reason.TOO_SLOW or _is_alarm(status)):
            self._returned.append(replace(culprit, retried=True))
            verdict = None
        elif verdict is None:
            if reason is Reason.DECODER_CRASHED:
                message = f"{message} ({_describe(status)})"
            spent = 1000 * (time.monotonic() - worker.started)
            message = f"{culprit.job.name} {message}."
            verdict = RejectedScan(culprit.path, None, 0, 0, reason.value, message, reason.hint, spent)
            if culprit.job.path is not None:
                job = Job(culprit.job.name, culprit.job.path, hash_only=True)
                self._returned.append(Task(culprit.path, job, verdict))
                verdict = None
        self._fill(tasks)
        if verdict is not None:
            yield verdict

    def _result(self, task: Task, reply: Done | Refused | Same) -> Result:
        facts = reply.facts
        if isinstance(reply, Same):
            return KnownScan(task.path, facts.sha256 or "", facts.size_bytes, facts.mtime_ns, reply.milliseconds)
        if task.verdict is not None:
            return replace(
                task.verdict,
                sha256=facts.sha256,
                size_bytes=facts.size_bytes,
                mtime_ns=facts.mtime_ns,
                header=reply.header,
            )
        if isinstance(reply, Done):
            pixels = np.frombuffer(reply.pixels, np.uint8).reshape(self._shape)
            return PreparedScan(
                task.path,
                facts.sha256 or "",
                facts.size_bytes,
                facts.mtime_ns,
                pixels,
                reply.header,
                reply.decoder,
                reply.milliseconds,
            )
        return RejectedScan(
            task.path,
            facts.sha256,
            facts.size_bytes,
            facts.mtime_ns,
            reply.reason,
            reply.message,
            reply.hint,
            reply.milliseconds,
            reply.header,
        )


def _file_task(path: Path, known: Mapping[bytes, str]) -> Task:
    """Make a task of a path. Workers do not share this process's folder, and messages hold no odd characters."""
    name = "".join(letter if letter.isprintable() else "?" for letter in path.name) or str(path)
    place = os.fsencode(path.absolute())
    return Task(str(path), Job(name, place, known=known.get(place)))


def _is_alarm(status: int | None) -> bool:
    """Whether a process has ended itself because its time had run out."""
    return status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM


def _describe(status: int | None) -> str:
    """Say how a process ended."""
    if status is None:
        return "it could not be ended"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal {_SIGNALS.get(number, number)}"
    return f"exit status {os.WEXITSTATUS(status)}"
