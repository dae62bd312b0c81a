"""The pool: every file gets its result, whatever it does to the worker that reads it, and nothing is left behind."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.decode import decode
from aidpost_device.decode.fork_server import ForkServer
from aidpost_device.decode.limits import DEFAULT_LIMITS, Limits
from aidpost_device.decode.pool import DecodePool, KnownScan, PreparedScan, RejectedScan
from aidpost_device.decode.reason import Reason
from aidpost_device.decode.scan_file import Reader
from aidpost_device.errors import DecodeServiceError, ScanError
from aidpost_device.prepare import prepare_bytes

from . import dicoms

SPEC = ImageInput(size=64, channels=3)
Write = Callable[..., Path]
Pool = Callable[..., DecodePool]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Make a pool whose workers do what files tell them (`hostile_tasks`)."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    pools = []

    def make(workers: int = 2, seconds: float = 20, task: str = "hostile_tasks:work") -> DecodePool:
        pools.append(DecodePool(workers, SPEC, Limits(seconds=seconds, memory_bytes=256 * 2**20), task=task))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file that tells a worker what to do."""

    def make(word: str, number: int = 0) -> Path:
        path = tmp_path / f"{word}-{number}"
        path.write_bytes(f"{word}\n{number}".encode())
        return path

    return make


def _processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# ---- the ordinary case ----------------------------------------------------------------------------------------------


def test_a_file_comes_back_prepared_as_in_this_process(tmp_path: Path) -> None:
    content = dicoms.native(dicoms.film(300, 200, 12), BitsStored=12, PatientID="A-1")
    path = tmp_path / "scan.dcm"
    path.write_bytes(content)
    with DecodePool(1, SPEC) as pool:
        (result,) = pool.results([path])
    assert isinstance(result, PreparedScan)
    assert np.array_equal(result.pixels, prepare_bytes("scan.dcm", content, SPEC).pixels)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert (result.path, result.size_bytes, result.mtime_ns) == (str(path), len(content), path.stat().st_mtime_ns)
    assert result.header.patient_id == "A-1"
    assert result.decoder.startswith("pydicom-native ")
    assert 0 < result.milliseconds < 20_000


def test_a_known_content_is_hashed_and_not_decoded(pool: Pool, write: Write) -> None:
    """The content decides: what breaks a decoder is left alone where it is known, another content is decoded."""
    path, other = write("refuse"), write("plain")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    known = dict.fromkeys(map(os.fsencode, (path, other)), sha256)
    results = {result.path: result for result in pool().results([path, other], known)}
    same = results[str(path)]
    assert isinstance(same, KnownScan)
    status = path.stat()
    assert (same.sha256, same.size_bytes, same.mtime_ns) == (sha256, status.st_size, status.st_mtime_ns)
    assert isinstance(results[str(other)], PreparedScan)


@pytest.mark.parametrize("word", ["segfault", "sleep"])
def test_a_film_that_breaks_its_decoder_still_belongs_to_its_study(pool: Pool, tmp_path: Path, word: str) -> None:
    content = dicoms.native(dicoms.film(30, 20, 12), BitsStored=12, PatientID="A-1", StudyInstanceUID="1.2.3")
    assert content[128:132] == b"DICM"
    path = tmp_path / "scan.dcm"
    path.write_bytes(f"{word}\n".encode().ljust(128, b"\0") + content[128:])
    (result,) = pool(1, seconds=2.0).results([path])
    assert isinstance(result, RejectedScan)
    assert result.reason in (Reason.DECODER_CRASHED, Reason.TOO_SLOW)
    assert result.header is not None
    assert (result.header.patient_id, result.header.study_uid) == ("A-1", "1.2.3")


def test_a_worker_that_calls_a_file_known_without_being_told_of_it_is_dismissed(pool: Pool, write: Write) -> None:
    (result,) = pool().results([write("same")])
    assert isinstance(result, RejectedScan)
    assert result.reason == Reason.DECODER_CRASHED


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_path_has_one_result(pool: Pool, write: Write, workers: int) -> None:
    paths = [write(word, number) for number in range(20) for word in ("plain", "refuse", "fault")]
    results = list(pool(workers).results(paths))
    assert sorted(result.path for result in results) == sorted(map(str, paths))
    reasons = [result.reason for result in results if isinstance(result, RejectedScan)]
    assert sorted(reasons) == [Reason.UNDECODABLE] * 40
    assert all("\n" not in result.message for result in results if isinstance(result, RejectedScan))


def test_no_paths_give_no_results_and_start_no_worker(pool: Pool) -> None:
    before = _processes()
    assert list(pool().results([])) == []
    assert len(_processes() - before) == 1  # the nursery


def test_one_file_starts_one_worker(pool: Pool, write: Write) -> None:
    before = _processes()
    assert len(list(pool(4).results([write("plain")]))) == 1
    assert len(_processes() - before) == 2


def test_paths_are_drawn_as_they_are_needed(pool: Pool, write: Write) -> None:
    drawn = []

    def paths() -> Iterator[Path]:
        for number in range(100):
            drawn.append(number)
            yield write("plain", number)

    results = pool(2).results(paths())
    for count in range(1, 40):
        next(results)
        assert len(drawn) <= count + 2 * 2 + 1  # two for each worker, and one reply that came along with this one
    assert len(list(results)) == 61


def test_workers_go_on_while_the_caller_works(pool: Pool, write: Write) -> None:
    """Each has one more file than the one it is asked for: after a long pause its reply is there at once."""
    results = pool(1).results([write("plain", number) for number in range(6)])
    next(results)
    time.sleep(0.5)
    start = time.perf_counter()
    next(results)
    assert time.perf_counter() - start < 0.2


def test_content_in_memory_is_prepared_too(pool: Pool) -> None:
    with pool() as made:
        assert (made.prepare("golden/a.png", b"plain\n7") == ord("7")).all()
        with pytest.raises(ScanError) as caught:
            made.prepare("golden/b.png", b"refuse\n")
    assert caught.value.reason == "undecodable"
    assert caught.value.hint


def test_names_that_are_no_text_do_not_disturb(tmp_path: Path, pool: Pool) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe\n[red]"))
    path.write_bytes(b"refuse\n")
    (result,) = pool().results([path])
    assert isinstance(result, RejectedScan)
    assert result.path == str(path)
    assert "\n" not in result.message


def test_a_relative_path_is_found(pool: Pool, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = pool()
    path = write("plain")
    monkeypatch.chdir(tmp_path)
    (result,) = made.results([Path(path.name)])
    assert isinstance(result, PreparedScan)
    assert result.path == path.name


def test_an_iteration_may_be_left_and_another_begun(pool: Pool, write: Write) -> None:
    made = pool()
    paths = [write("plain", number) for number in range(30)]
    for _ in range(3):
        for _result in made.results(paths):
            break
    assert len(list(made.results(paths))) == 30


def test_two_iterations_at_once_are_refused(pool: Pool, write: Write) -> None:
    made = pool()
    first = made.results([write("plain", 1), write("plain", 2)])
    next(first)
    with pytest.raises(RuntimeError):
        next(made.results([write("plain", 3)]))
    assert len(list(first)) == 1


# ---- hostile files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reason", "says"),
    [
        ("segfault", Reason.DECODER_CRASHED, "SIGSEGV"),
        ("abort", Reason.DECODER_CRASHED, "SIGABRT"),
        ("exit", Reason.DECODER_CRASHED, "exit status 3"),
        ("babble", Reason.DECODER_CRASHED, "ended its decoder"),
        ("lie", Reason.DECODER_CRASHED, "ended its decoder"),
        ("forge", Reason.DECODER_CRASHED, "ended its decoder"),
        ("real-time", Reason.DECODER_CRASHED, "signal 39"),
        ("small", Reason.DECODER_CRASHED, "ended its decoder"),
        ("eat", Reason.TOO_LARGE_TO_DECODE, "memory"),
    ],
)
def test_a_file_that_spoils_its_worker_is_refused_and_the_others_are_not(
    pool: Pool, write: Write, word: str, reason: Reason, says: str
) -> None:
    paths = [write("plain", 1), write(word, 2), *(write("plain", number) for number in range(3, 9)), write(word, 9)]
    results = {result.path: result for result in pool(2).results(paths)}
    assert set(results) == set(map(str, paths))
    for path in paths:
        result = results[str(path)]
        assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert result.mtime_ns == path.stat().st_mtime_ns
        if path.name.startswith(word):
            assert isinstance(result, RejectedScan)
            assert result.reason == reason
            assert says in result.message
            assert path.name in result.message
            assert result.hint == reason.hint
        else:
            assert isinstance(result, PreparedScan), path


@pytest.mark.parametrize("word", ["sleep", "spin", "hang-in-c"])
def test_a_file_that_does_not_end_is_refused_at_its_deadline(pool: Pool, write: Write, word: str) -> None:
    paths = [write(word, 1), *(write("plain", number) for number in range(2, 8))]
    start = time.monotonic()
    results = {result.path: result for result in pool(1, seconds=1.0).results(paths)}
    assert time.monotonic() - start < 15
    slow = results.pop(str(paths[0]))
    assert isinstance(slow, RejectedScan)
    assert slow.reason == Reason.TOO_SLOW
    assert slow.sha256 == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert slow.milliseconds >= 1000
    assert len(results) == 6
    assert all(isinstance(result, PreparedScan) for result in results.values())


def test_a_caller_who_takes_long_costs_no_file_its_deadline(pool: Pool, write: Write) -> None:
    for result in pool(1, seconds=0.5).results([write("plain", number) for number in range(4)]):
        assert isinstance(result, PreparedScan)
        time.sleep(0.8)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGALRM])
def test_a_suspended_command_costs_no_file_its_reading(pool: Pool, write: Write, number: signal.Signals) -> None:
    """Stopped in mid-file with the pool, a worker has not answered by its deadline, or its alarm has ended it."""
    results = pool(1, seconds=1.0).results([write("plain", 1), write("nap", 2), write("plain", 3)])
    first = next(results)
    assert isinstance(first, PreparedScan)
    os.kill(int(first.header.patient_id or 0), number)
    time.sleep(1.5)
    assert all(isinstance(result, PreparedScan) for result in results)


def test_a_worker_that_dies_while_it_has_nothing_to_do_costs_no_file(pool: Pool, write: Write) -> None:
    made = pool(1)
    (first,) = made.results([write("plain", 1)])
    assert isinstance(first, PreparedScan)
    os.kill(int(first.header.patient_id or 0), signal.SIGKILL)
    time.sleep(0.2)
    (second,) = made.results([write("plain", 2)])
    assert isinstance(second, PreparedScan)


def test_a_file_that_spoils_even_its_reading_is_given_up(pool: Pool) -> None:
    """Content that is in memory has nothing to be hashed again: its verdict comes at once."""
    with pytest.raises(ScanError) as caught:
        pool(1).prepare("golden", b"segfault\n")
    assert caught.value.reason == Reason.DECODER_CRASHED


def test_many_spoilt_workers_leak_nothing(pool: Pool, write: Write) -> None:
    made = pool(2)
    list(made.results([write("plain")]))
    handles, before = _handles(), _processes()
    results = list(made.results([write("segfault", number) for number in range(40)]))
    assert {result.reason for result in results if isinstance(result, RejectedScan)} == {Reason.DECODER_CRASHED}
    assert len(results) == 40
    assert _handles() <= handles + 2  # the second worker's pipes
    assert len(_processes()) <= len(before) + 1
    states = [child.status() for child in psutil.Process().children(recursive=True)]
    assert psutil.STATUS_ZOMBIE not in states


# ---- what is opened -------------------------------------------------------------------------------------------------


def test_only_regular_files_are_opened(pool: Pool, write: Write, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write("plain"))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / "link", tmp_path / "fifo", tmp_path / "folder", tmp_path / "absent", Path("/dev/zero")]
    results = {Path(result.path).name: result for result in pool().results(paths)}
    reasons = {name: result.reason for name, result in results.items() if isinstance(result, RejectedScan)}
    assert reasons == {
        "link": Reason.NOT_A_FILE,
        "fifo": Reason.NOT_A_FILE,
        "folder": Reason.NOT_A_FILE,
        "zero": Reason.NOT_A_FILE,
        "absent": Reason.UNREADABLE,
    }
    assert all(result.sha256 is None for result in results.values())


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 100)
    honest = os.readv

    def read_and_grow(handle: int, buffers: list[memoryview]) -> int:
        count = honest(handle, buffers)
        with path.open("ab") as file:
            file.write(b"y")
        return count

    monkeypatch.setattr(os, "readv", read_and_grow)
    with pytest.raises(ScanError) as caught:
        Reader(DEFAULT_LIMITS).read(bytes(path))
    assert caught.value.reason == Reason.CHANGING


def test_a_reader_shows_no_byte_of_the_file_before(tmp_path: Path) -> None:
    long, short = tmp_path / "long", tmp_path / "short"
    long.write_bytes(b"L" * 1000)
    short.write_bytes(b"S" * 10)
    reader = Reader(DEFAULT_LIMITS)
    assert bytes(reader.read(bytes(long)).content) == b"L" * 1000
    assert bytes(reader.read(bytes(short)).content) == b"S" * 10


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**40)
    with DecodePool(1, SPEC) as pool:
        (result,) = pool.results([path])
    assert isinstance(result, RejectedScan)
    assert result.reason == Reason.TOO_LARGE


# ---- confinement ----------------------------------------------------------------------------------------------------


def test_a_worker_is_confined(pool: Pool, write: Write) -> None:
    made = pool(1)
    (result,) = made.results([write("probe")])
    assert isinstance(result, PreparedScan), result.message
    assert made.landlock == max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def test_the_nursery_is_single_threaded_and_safe_from_stray_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    for name in ("numpy", "pydicom", "dl", "msgspec"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stray folder was imported')")
    monkeypatch.chdir(tmp_path)
    with ForkServer() as server, DecodePool(1, SPEC, server=server) as pool:
        assert len(list(pool.results([write("plain")]))) == 1
        process = psutil.Process(server.pid)
        assert process.num_threads() == 1
        assert {"-P", "-I"} & set(process.cmdline())
        assert process.cwd() == "/"


def test_memory_does_not_grow_over_a_thousand_files(tmp_path: Path) -> None:
    kinds = [
        dicoms.native(dicoms.film(300, 200, 12), BitsStored=12),
        dicoms.compressed(dicoms.film(300, 200, 12), dicoms.LOSSLESS_SV1, BitsStored=12),
        dicoms.compressed(dicoms.film(300, 200, 12), dicoms.J2K_LOSSLESS, BitsStored=12),
        dicoms.compressed(dicoms.film(300, 200, 12), dicoms.JPEGLS, BitsStored=12),
        dicoms.native(dicoms.film(300, 200, 12), NumberOfFrames=7),
        b"no scan at all",
    ]
    paths = []
    for number, content in enumerate(kinds):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(content)
    with DecodePool(1, SPEC) as pool:
        results = pool.results(paths * 167)
        resident: list[int] = []
        for count, _result in enumerate(results, 1):
            if count in (200, 1000):
                (nursery,) = psutil.Process().children()
                (worker,) = nursery.children()
                resident.append(worker.memory_info().rss)
        assert count == 1002
    assert resident[1] - resident[0] < 8 * 2**20


# ---- the end --------------------------------------------------------------------------------------------------------


def _gone(pids: set[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_closing_ends_every_process_and_may_be_repeated(pool: Pool, write: Write) -> None:
    before = _processes()
    made = pool(2)
    results = made.results([write("plain", 1), write("sleep", 2), write("sleep", 3)])
    next(results)
    started = _processes() - before
    assert len(started) == 3
    made.close()
    made.close()
    assert _gone(started)
    assert not any(psutil.pid_exists(pid) for pid in started)
    with pytest.raises(RuntimeError):
        next(results)  # its other files have no result: that must not look like the end
    with pytest.raises(RuntimeError):
        next(made.results([write("plain", 4)]))


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_closing_between_two_results_that_wait_is_not_the_end(pool: Pool, write: Write, taken: int) -> None:
    made = pool(2)
    results = made.results([write("plain", number) for number in range(6)])
    for _ in range(taken):
        next(results)
        time.sleep(0.4)  # both workers have answered by now: one turn of the loop finds more than one result
    made.close()
    with pytest.raises(RuntimeError, match="closed before it had answered"):
        next(results)


def test_a_killed_parent_leaves_no_process_behind(write: Write, tmp_path: Path) -> None:
    """Not even workers that hang in a decoder. Its main module, which has no guard, is not run again by them."""
    paths = [str(write("sleep", number)) for number in range(4)] + [str(write("plain", 9))]
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(f"""
            from pathlib import Path
            from aidpost_device.bundle.manifest import ImageInput
            from aidpost_device.decode.limits import Limits
            from aidpost_device.decode.pool import DecodePool
            print("started", flush=True)
            pool = DecodePool(2, ImageInput(size=64, channels=3), Limits(seconds=600), task="hostile_tasks:work")
            results = pool.results([Path({paths[4]!r}), *map(Path, {paths[:4]!r})])
            next(results)
            print("ready", flush=True)
            next(results)
        """)
    )
    places = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    with subprocess.Popen(
        [sys.executable, "-P", str(script)], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert [parent.stdout.readline(), parent.stdout.readline()] == ["started\n", "ready\n"]
        family = {child.pid for child in psutil.Process(parent.pid).children(recursive=True)}
        assert len(family) == 3
        parent.kill()
        assert parent.stdout.read() == ""
    assert _gone(family)


def test_a_killed_service_is_no_files_fault(pool: Pool, write: Write) -> None:
    before = _processes()
    made = pool(1)
    assert len(list(made.results([write("plain")]))) == 1
    (nursery,) = [child for child in psutil.Process().children() if child.pid not in before]
    nursery.kill()
    with pytest.raises(DecodeServiceError) as caught:
        list(made.results([write("segfault", number) for number in range(5)]))
    assert caught.value.hint


def test_a_worker_that_cannot_start_is_no_files_fault(pool: Pool, write: Write) -> None:
    with pytest.raises(DecodeServiceError):
        list(pool(1, task="hostile_tasks:absent").results([write("plain")]))


def test_the_seam_for_tests_is_what_production_uses() -> None:
    """`prepare_bytes` is called as the hostile tasks are: name, bytes, spec, limits."""
    content = dicoms.native(dicoms.film(70, 70, 12), BitsStored=12)
    assert prepare_bytes("x", memoryview(content), SPEC, DEFAULT_LIMITS).pixels.shape == (64, 64, 3)
    assert decode("x", content).rows == 70
