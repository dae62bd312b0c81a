"""The box stays light: what its modules pull in, seen in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"torch", "transformers", "optimum", "textual", "onnx", "pandas", "pydantic", "sklearn", "scipy", "datasets"}

EVERY_MODULE = """
import importlib, json, pkgutil, sys
import aidpost_device
names = [one.name for one in pkgutil.walk_packages(aidpost_device.__path__, "aidpost_device.")]
for name in names:
    importlib.import_module(name)
print(json.dumps({"imported": names, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""

ONE_COMMAND = """
import json, sys
from aidpost_device.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print()
print(json.dumps({"code": code, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def fresh(code: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run code in an interpreter of its own; give what it printed as its last line."""
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_no_module_of_the_box_loads_the_workstation_or_the_screen() -> None:
    answer = fresh(EVERY_MODULE)
    assert "aidpost_device.engine" in answer["imported"]
    assert HEAVY & set(answer["loaded"]) == set()


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("--help", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec", "rich", "sqlite3"}),
        ("--version", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec", "rich", "sqlite3"}),
        ("device --help", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec", "rich"}),
        ("device install --help", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec"}),
        ("device calibrate --help", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec"}),
        ("device threshold --help", {"numpy", "onnxruntime", "pydicom", "PIL", "cryptography", "msgspec"}),
        ("device audit", {"onnxruntime", "pydicom", "PIL", "cryptography"}),
        ("device trust list", {"numpy", "onnxruntime", "pydicom", "PIL"}),
        ("device bundles", {"pydicom", "PIL", "imagecodecs"}),
    ],
)
def test_a_command_loads_only_what_it_needs(command: str, unneeded: set[str], tmp_path: Path) -> None:
    answer = fresh(ONE_COMMAND, *command.split(), AIDPOST_HOME=str(tmp_path))
    assert answer["code"] == 0
    assert unneeded & set(answer["loaded"]) == set()
    assert HEAVY & set(answer["loaded"]) == set()
