"""The story of the guides: their commands, typed one after the other in one workspace, as the four people would.

Every document has a box of its own (home folder), because each of them begins with a bare one; the workspace is shared,
so that the technician finds what the data officer packed. A command of the workstation that an earlier document has
typed already is not run again: it would do nothing new, and what it printed is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .console import Step, read_steps

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
DOCUMENTS = (
    DOCS / "data-officer.md",
    DOCS / "technician.md",
    DOCS / "clinic.md",
    DOCS / "programme-officer.md",
    REPOSITORY / "README.md",
)
"""In the order in which the bundle passes through their hands; the README tells the same in short."""
SHOWN_AS = "/home/aidpost"
"""The workspace's path, as the documents show it."""
PATIENCE = 300
"""Seconds a command may take on a busy machine."""


@dataclass(frozen=True)
class Played:
    """A command with what it printed."""

    step: Step
    printed: tuple[str, ...]
    code: int

    @property
    def complained(self) -> bool:
        """Whether it printed an error and its hint, as the program does when it refuses."""
        begun = [place for place, line in enumerate(self.printed) if line.startswith("aidpost: ")]
        return bool(begun) and any(line.startswith("  hint: ") for line in self.printed[begun[0] :])


@dataclass
class Story:
    """Plays the documents, each of them once."""

    workspace: Path
    _played: dict[Path, list[Played]] = field(default_factory=dict)
    _known: dict[str, Played] = field(default_factory=dict)

    def of(self, document: Path) -> list[Played]:
        """Play the documents up to this one and give what its commands printed."""
        for earlier in DOCUMENTS[: DOCUMENTS.index(document) + 1]:
            if earlier not in self._played:
                self._played[earlier] = [self._play(step) for step in read_steps(earlier)]
        return self._played[document]

    def _play(self, step: Step) -> Played:
        known = self._known.get(step.command)
        if known is not None and step.command.startswith("aidpost export "):
            return Played(step, known.printed, known.code)
        played = self._run(step)
        self._known[step.command] = played
        return played

    def _run(self, step: Step) -> Played:
        # Our own documents, in bash as people type them. The answer to a question is what the document shows behind it.
        answers = [line.rpartition("]: ")[2] for line in step.output if "[y/N]: " in line]
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=self.workspace,
            env=self._environment(step),
            input="".join(f"{answer}\n" for answer in answers),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        text = done.stdout.replace(str(self.workspace), SHOWN_AS)
        for answer in answers:  # on a terminal it is seen, and the line ends with it
            text = text.replace("[y/N]: ", f"[y/N]\0: {answer}\n", 1)
        lines = (line.rstrip() for line in text.replace("\0", "").splitlines())
        return Played(step, tuple(lines), done.returncode)

    def _environment(self, step: Step) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AIDPOST", "XDG_"))}
        places = (str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")]))
        return {
            **kept,
            "AIDPOST_HOME": str(self.workspace / ".boxes" / step.document.stem),
            "COLUMNS": "80",
            "HF_HUB_OFFLINE": "1",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            **({"PYTHONPATH": os.pathsep.join(places)} if step.hidden else {}),
        }
