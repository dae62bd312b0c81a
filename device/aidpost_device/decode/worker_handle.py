"""The pool's end of one worker: its pipes and what it has been given."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aidpost_device.decode.fork_server import ForkServer
from aidpost_device.decode.protocol import Done, Inbox, Job, Ready, Refused, Same, parse_reply, send
from aidpost_device.decode.result import RejectedScan


@dataclass(frozen=True, eq=False)
class Task:
    """One file's way through the pool."""

    path: str
    job: Job
    verdict: RejectedScan | None = None
    """Set once the file has spoiled a worker: another one only hashes it."""
    retried: bool = False
    """Whether this is its second try, after one in which its worker hardly ran."""


_START_SECONDS = 30.0
"""Time a worker may take until it is ready, on a machine that is busy with other things."""

Answer = tuple[Task, Done | Refused | Same]


class WorkerLostError(Exception):
    """A worker has died, or sends what no sound worker would. Never leaves the pool."""

    def __init__(self, answered: list[Answer]) -> None:
        super().__init__()
        self.answered = answered
        """What it answered before."""


class WorkerHandle:
    """A forked worker. Tasks are answered in the order in which they were given."""

    def __init__(self, server: ForkServer, settings: bytes, pixel_bytes: int, largest_reply: int) -> None:
        """Fork a worker. Two replies fit into its pipe, so that it can go on while the caller works."""
        self._server = server
        self._pixel_bytes = pixel_bytes
        job_read, self._requests = os.pipe()
        reply_read, reply_write = os.pipe()
        try:
            with contextlib.suppress(OSError):  # without room in the pipe a worker waits more often; nothing is lost
                fcntl.fcntl(reply_write, fcntl.F_SETPIPE_SZ, 2 * largest_reply)
            self._pid = server.fork(settings, job_read, reply_write)
        except BaseException:
            os.close(self._requests)
            os.close(reply_read)
            raise
        finally:
            os.close(job_read)
            os.close(reply_write)
        os.set_blocking(reply_read, False)
        self._inbox = Inbox(reply_read, largest_reply)
        self.tasks: deque[Task] = deque()
        self.landlock: int | None = None
        """Version of Landlock that confines it, 0 for none; None until it is ready."""
        self.lost = False
        """Whether it has been seen dead; the task that it was working on is still to be judged."""
        self.started = 0.0
        """When the first of its tasks began, as far as can be told from here; monotonic seconds."""
        self._worked_before = 0.0
        """Processor seconds that it had used by then."""

    @property
    def ready(self) -> bool:
        """Whether it has set its limits."""
        return self.landlock is not None

    @property
    def replies(self) -> int:
        """Handle that is readable when there is a reply, or when the worker is gone."""
        return self._inbox.handle

    def due(self, seconds: float) -> float:
        """When it must have answered, given the seconds that a file may take; monotonic seconds."""
        return self.started + (seconds if self.ready else max(seconds, _START_SECONDS))

    def give(self, task: Task) -> None:
        """Queue a task. Raises `WorkerLostError` when the worker was dead before."""
        try:
            send(self._requests, task.job)
        except BrokenPipeError as error:
            self.lost = True
            raise WorkerLostError([]) from error
        if not self.tasks:
            self._begin()
        self.tasks.append(task)

    def receive(self) -> list[Answer]:
        """Return the tasks now answered. Raises `WorkerLostError`."""
        answered: list[Answer] = []
        try:
            for message in self._inbox.receive():
                reply = parse_reply(message)
                if isinstance(reply, Ready):
                    self.landlock = reply.landlock
                    self._begin()
                    continue
                if not self.tasks or not self._fits(self.tasks[0].job, reply):
                    raise WorkerLostError(answered)
                answered.append((self.tasks.popleft(), reply))
                self._begin()
        except (EOFError, ValueError, msgspec.DecodeError) as error:
            raise WorkerLostError(answered) from error
        return answered

    @property
    def worked(self) -> float:
        """Processor seconds since the first of its tasks began; a dead worker keeps them until it is buried."""
        return self._processor_seconds() - self._worked_before

    def _begin(self) -> None:
        self.started, self._worked_before = time.monotonic(), self._processor_seconds()

    def _processor_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # somebody else has buried it
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _fits(self, job: Job, reply: Done | Refused | Same) -> bool:
        """Whether a sound worker could answer the job so."""
        if isinstance(reply, Same):
            return job.known is not None and job.known == reply.facts.sha256
        return isinstance(reply, Refused) or len(reply.pixels) == self._pixel_bytes

    def close(self) -> None:
        """Close the pipes, at which an idle worker ends."""
        os.close(self._requests)
        os.close(self._inbox.handle)

    def bury(self) -> int | None:
        """Kill the worker if it lives. Returns its wait status, None when it could not be killed yet."""
        self.close()
        return self._server.reap(self._pid)
