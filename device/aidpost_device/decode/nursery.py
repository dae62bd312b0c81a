"""The process that decode workers are forked from: it has imported everything and runs no thread, so a fork is cheap
and safe at any time. It opens no file from outside, decodes nothing and ends with the pool.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
import traceback
from importlib import import_module

import msgspec

PRELOAD = (
    "PIL.Jpeg2KImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.TiffImagePlugin",
    "aidpost_device.decode.dicom",
    "aidpost_device.decode.raster",
    "aidpost_device.decode.worker",
)
"""What every worker needs; decoders that few files need are imported by the worker that meets one."""

LONGEST_COMMAND = 2**16
_PATIENCE = 2.0
"""Seconds to wait for a killed worker to be gone: one that hangs in the kernel (a disk unplugged) is left behind."""


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Fork a worker; two handles come along: the pipe it reads jobs from, the pipe it writes replies to."""

    settings: bytes


class Reap(msgspec.Struct, frozen=True, tag="reap"):
    """Bury a worker, killing it first when it still lives."""

    pid: int


_command = msgspec.msgpack.Decoder(Fork | Reap)


def main(handle: int) -> None:
    """Serve the pool at the other end of a socket until it closes."""
    # Ctrl-C goes to the whole terminal and a service's SIGTERM to all its processes; the pool decides what ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.modules["requests"] = None  # type: ignore[assignment]  # pydicom would load it to download its test data
    for module in PRELOAD:
        import_module(module)
    logging.disable()
    os.chdir("/")  # holds no disk that someone wants to unplug
    gc.collect()
    gc.freeze()  # workers then share this memory for longer
    with socket.socket(fileno=handle) as control:
        Nursery(control).serve()
    os._exit(0)  # nothing is left to tidy up, and nobody waits for the interpreter to try


class Nursery:
    """Forks workers, and buries them when told."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()

    def serve(self) -> None:
        """Obey commands until the pool is gone; then kill every worker."""
        try:
            while True:
                message, handles, _, _ = socket.recv_fds(self._control, LONGEST_COMMAND, 2)
                if not message:
                    return
                command = _command.decode(message)
                answer = self._fork(command, handles) if isinstance(command, Fork) else self._reap(command.pid)
                self._control.send(msgspec.msgpack.encode(answer))
        except (ConnectionError, BrokenPipeError):
            return
        finally:
            for pid in tuple(self._children):
                self._reap(pid)

    def _fork(self, command: Fork, handles: list[int]) -> int:
        """Return the new worker's process id."""
        pid = os.fork()
        if pid == 0:
            self._become_worker(command, handles)
        for handle in handles:
            os.close(handle)
        self._children.add(pid)
        return pid

    def _become_worker(self, command: Fork, handles: list[int]) -> None:
        status = 1
        try:
            from aidpost_device.decode.worker import serve

            self._control.close()
            serve(handles[0], handles[1], command.settings)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may return into the nursery's code
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self, pid: int) -> int | None:
        """Return the wait status, None when the worker is not one of ours or cannot be killed yet."""
        if pid not in self._children:
            return None
        os.kill(pid, signal.SIGKILL)  # ours and unburied: the number cannot belong to another process
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                self._children.discard(pid)
                return status
            time.sleep(0.001)
        return None
