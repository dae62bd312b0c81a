"""Starts the nursery and speaks with it. Light to import, so that a command can start it before anything else.

`multiprocessing`'s own fork server is not used: it imports the program's main module again in every worker, keeps a
resource tracker beside it, speaks pickle with processes that hostile files may have taken over, and lets numpy start
threads in the process that forks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from types import TracebackType
from typing import Any

from aidpost_device.errors import DecodeServiceError

_START = "import sys; from aidpost_device.decode.nursery import main; main(int(sys.argv[1]))"
_SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_KEPT_BYTES = 64 * 2**20
_REUSED_MEMORY = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(_KEPT_BYTES))
"""glibc: take the arrays of the next film from the memory of the last one. The kernel would clear each page anew."""
_PATIENCE = 5.0
"""Seconds the nursery has to end by itself."""


class ForkServer:
    """A running nursery. It is being started when this returns; the first `fork` waits until it is ready."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *_interpreter_flags(), "-c", _START, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | _SINGLE_THREADED | _REUSED_MEMORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """The nursery's process id."""
        return self._process.pid

    def fork(self, settings: bytes, requests: int, replies: int) -> int:
        """Fork a worker that reads jobs from one handle and writes replies to the other; return its process id."""
        from aidpost_device.decode.nursery import Fork

        pid: int = self._ask(Fork(settings), [requests, replies])
        return pid

    def reap(self, pid: int) -> int | None:
        """Kill a worker if it lives, and bury it. Returns its wait status, None when it could not be killed yet."""
        from aidpost_device.decode.nursery import Reap

        status: int | None = self._ask(Reap(pid), [])
        return status

    def close(self) -> None:
        """End the nursery and every worker of it."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, command: object, handles: list[int]) -> Any:
        import msgspec

        try:
            socket.send_fds(self._control, [msgspec.msgpack.encode(command)], handles)
            answer = self._control.recv(64)
        except OSError as error:
            raise self._gone() from error
        if not answer:
            raise self._gone()
        return msgspec.msgpack.decode(answer)

    def _gone(self) -> DecodeServiceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        return DecodeServiceError(
            f"The process that decodes scans has ended (status {self._process.returncode}).",
            "Check that memory is free, then run the command again: what was read is kept.",
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _interpreter_flags() -> list[str]:
    """Keep what protects this interpreter's imports; a folder on a stick must never be imported (`-P`)."""
    if sys.flags.isolated:
        return ["-I"]
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    return ["-P", *(flag for flag, wanted in flags.items() if wanted)]
