"""The outermost part of the command: faults of the program, and terminals that lack letters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aidpost_device.cli import device as device_cli
from aidpost_device.cli.main import main

COMMAND = (sys.executable, "-P", "-c", "from aidpost_device.cli.main import main; main()")


def test_a_fault_says_which_command_shows_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(name: str) -> object:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(device_cli, "import_module", faulty)
    with pytest.raises(SystemExit) as caught:
        main(["device", "bundles"])
    assert caught.value.code == 70
    hint = capsys.readouterr().err.splitlines()[1]
    assert "`aidpost --debug device bundles …`" in hint
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "device", "bundles"])


def test_a_terminal_without_a_letter_shows_a_question_mark() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    command = [*COMMAND, "device", "screen", "--help"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"PATH?" in done.stdout
    assert done.stderr == b""
