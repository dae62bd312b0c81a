"""Tasks that do to a worker what a hostile file might. Files say by their first word which; others are prepared."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.image import Header
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.protocol import Facts, Refused, Same, send
from aidpost_device.errors import ScanError
from aidpost_device.prepare import Prepared


def work(name: str, data: bytes | memoryview, spec: ImageInput, limits: Limits) -> Prepared:
    """Obey the file."""
    word = bytes(data[:16]).split(b"\n")[0].decode()
    if word in _DEEDS:
        _DEEDS[word]()
    if word == "probe":
        _probe(limits)
    pixels = np.full((spec.size, spec.size, spec.channels), data[-1], np.uint8)
    if word == "small":
        pixels = pixels[1:]
    return Prepared(pixels, Header(patient_id=str(os.getpid())), "test 1")


def _sleep() -> None:
    time.sleep(3600)


def _nap() -> None:
    time.sleep(0.5)


def _spin() -> None:
    while True:
        pass


def _hang_in_c() -> None:
    ctypes.CDLL(None).sleep(3600)


def _eat() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(2**20))


def _refuse() -> None:
    raise ScanError("undecodable", "is refused", "hint")


def _fault() -> None:
    raise ZeroDivisionError("a fault\nof ours")


def _babble() -> None:
    for handle in _pipes():
        os.write(handle, b"\xff" * 64)
    time.sleep(3600)


def _lie() -> None:
    for handle in _pipes():
        os.write(handle, (5).to_bytes(4, "little") + b"\x93\x01\x02\x03\x04")
    time.sleep(3600)


def _forge() -> None:
    """Answer for itself, in the right form, with what the store cannot hold."""
    facts = Facts(sha256="x" * 64, size_bytes=2**63)
    for handle in _pipes():
        send(handle, Refused(facts, "undecodable", "is refused.", "hint", None, float("nan")))
    time.sleep(3600)


def _same() -> None:
    for handle in _pipes():
        send(handle, Same(Facts(), 1.0))
    time.sleep(3600)


def _pipes() -> list[int]:
    """Handles that can be written to: the pipe to the pool."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()).startswith("pipe:") and os.get_blocking(int(entry.name)):
                os.write(int(entry.name), b"")
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _probe(limits: Limits) -> None:
    """Check from inside that a worker is confined; raises when it is not."""
    own = resource.getrlimit
    assert own(resource.RLIMIT_CORE) == (0, 0)
    assert own(resource.RLIMIT_FSIZE) == (0, 0)
    assert own(resource.RLIMIT_NOFILE)[1] <= 64
    assert own(resource.RLIMIT_AS)[0] < 2**40
    assert own(resource.RLIMIT_CPU)[0] < limits.seconds + 60
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert len(list(Path("/proc/self/fd").iterdir())) <= 8
    assert Path.cwd() == Path("/")
    if ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1:
        _probe_landlock()
    path = Path("/tmp") / f"aidpost-probe-{os.getpid()}"
    try:
        path.write_bytes(b"x")
    except OSError:
        path.unlink(missing_ok=True)
    else:
        raise AssertionError("a worker could write a file")


def _probe_landlock() -> None:
    deeds: tuple[Callable[[], object], ...] = (
        lambda: Path("/tmp/aidpost-probe").mkdir(),
        lambda: Path("/tmp/aidpost-probe").symlink_to("/"),
        lambda: os.open("/dev/null", os.O_WRONLY),
        lambda: os.execv("/bin/true", ["true"]),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: os.kill(os.getppid(), 0),
    )
    for number, deed in enumerate(deeds):
        try:
            deed()
        except PermissionError:
            continue
        except ConnectionRefusedError:
            assert ctypes.CDLL(None).syscall(444, None, 0, 1) < 4, "a worker could open a connection"
        else:
            assert number == 5, f"deed {number} was done"
            assert ctypes.CDLL(None).syscall(444, None, 0, 1) < 6, "a worker could signal another process"


_DEEDS: dict[str, Callable[[], object]] = {
    "sleep": _sleep,
    "nap": _nap,
    "spin": _spin,
    "hang-in-c": _hang_in_c,
    "eat": _eat,
    "refuse": _refuse,
    "fault": _fault,
    "babble": _babble,
    "lie": _lie,
    "forge": _forge,
    "real-time": lambda: os.kill(os.getpid(), signal.SIGRTMIN + 5),
    "same": _same,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
}
