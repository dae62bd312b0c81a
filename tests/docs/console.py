"""Console blocks: what the guides show a person typing, and what the program answers.

A block is fenced as `console`. A line that begins with `$ ` is a command; it goes on in lines that begin with `> ` as
long as it ends with a backslash. Everything else is its output, standard output and standard error together.

Between blocks a comment `<!-- replay: COMMAND -->` does what a person does without a command, such as editing a file.
A comment `<!-- varies: WHY -->` says that what the next command prints depends on the machine; only its first and last
line are promised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

FENCE = "```"
KIND = "console"
_HIDDEN = re.compile(r"<!-- replay: (?P<command>.+) -->")
_VARIES = re.compile(r"<!-- varies: .+ -->")


@dataclass(frozen=True)
class Step:
    """One command of a document."""

    document: Path
    line: int
    """Of the command, the first line being 1."""
    command: str
    """As bash gets it."""
    output: tuple[str, ...]
    """The lines the document shows below it."""
    hidden: bool = False
    """Whether it stands in a comment, where no output is shown."""
    varies: bool = False
    """Whether only the first and the last line of its output are promised."""

    @property
    def end(self) -> int:
        """Number of the last line of the output."""
        return self.line + self.command.count("\n") + len(self.output)

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}: $ {self.command}"


def read_steps(document: Path) -> list[Step]:
    """Read the commands of a document in order. Raises `ValueError` for a block that is never closed."""
    steps: list[Step] = []
    begun: tuple[int, list[str]] | None = None
    other = varies = False
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith(FENCE):
            if begun is not None:
                first, *others = _steps_of(document, *begun)
                steps += [replace(first, varies=varies), *others]
                begun, varies = None, False
            elif line == FENCE + KIND:
                begun = (number + 1, [])
            else:
                other = not other
        elif begun is not None:
            begun[1].append(line)
        elif not other and (comment := _HIDDEN.fullmatch(line)):
            steps.append(Step(document, number, comment["command"], (), hidden=True))
        elif not other and _VARIES.fullmatch(line):
            varies = True
    if begun is not None or other:
        raise ValueError(f"{document} ends inside a fenced block")
    return steps


def _steps_of(document: Path, first: int, lines: list[str]) -> list[Step]:
    starts = [place for place, line in enumerate(lines) if line.startswith("$ ")]
    if starts[:1] != [0]:
        raise ValueError(f"{document}:{first}: a console block begins with a command")
    steps = []
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        command = [lines[start][2:]]
        while command[-1].endswith("\\"):
            following = lines[start + len(command)]
            if not following.startswith("> "):
                raise ValueError(f"{document}:{first + start}: a command that goes on does so behind '> '")
            command.append(following[2:])
        output = tuple(lines[start + len(command) : stop])
        steps.append(Step(document, first + start, "\n".join(command), output))
    return steps


def replace_outputs(document: Path, outputs: dict[int, tuple[str, ...]]) -> None:
    """Write new outputs below the commands that stand at these lines."""
    lines = document.read_text(encoding="utf-8").splitlines()
    for step in reversed(read_steps(document)):
        if step.line in outputs:
            lines[step.end - len(step.output) : step.end] = outputs[step.line]
    document.write_text("\n".join(lines) + "\n", encoding="utf-8")
