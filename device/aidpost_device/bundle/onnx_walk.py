"""A bounded walk over an ONNX file's protobuf, without the `onnx` package.

It looks into every graph, subgraph, function and tensor, and refuses what would make the runtime leave the file:
tensors stored outside it, and operators of foreign domains. It refuses files that may pass for another format, and
encodings that two parsers might read differently, rather than follow them.
"""

from __future__ import annotations

from aidpost_device.bundle import onnx_schema as schema
from aidpost_device.errors import GraphError

DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})
"""Operator domains whose every operator is part of the runtime."""
FOREIGN_OPERATORS = frozenset({b"EPContext"})
"""Operators that load a compiled model from another file."""
DEPTH_LIMIT = 64
"""Deepest nesting of messages."""
FIELD_LIMIT = 1_000_000
"""Most fields of a file."""

ORT_MARK = b"ORTM"
"""Bytes 4 to 7 of the runtime's own format. The first field of an ONNX file can hold them too."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}
_WIRE: dict[str, frozenset[int]] = {
    schema.INT: frozenset({_VARINT}),
    schema.INTS: frozenset({_VARINT, _LENGTH}),
    schema.FLOAT: frozenset({_FIXED32}),
    schema.FLOATS: frozenset({_FIXED32, _LENGTH}),
    schema.DOUBLES: frozenset({_FIXED64, _LENGTH}),
    schema.LOCATION: frozenset({_VARINT}),
}
_ONLY_LENGTH = frozenset({_LENGTH})
_BROKEN = "The model is damaged or was not written by `aidpost export pack`. Ask the workstation to pack it again."


def check_graph(name: str, content: bytes) -> None:
    """Walk the ONNX file of member `name`. Raises `GraphError` naming the place."""
    if content[4:8] == ORT_MARK:
        raise GraphError(f"The model {name} carries the mark of the runtime's own format.", _BROKEN)
    walk = _Walk(name, content)
    walk.message("ModelProto", 0, len(content), 1)
    if walk.graphs != 1:
        raise GraphError(f"The model {name} has {walk.graphs} graphs instead of one.", _BROKEN)


class _Walk:
    """One pass over one file; `trail` names the messages around the current place."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content
        self.fields = 0
        self.graphs = 0
        """The model's own graphs. Parsers put several together, each in its way."""
        self.trail: list[str] = []

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Walk one message between two offsets."""
        self.trail.append(kind)
        if depth > DEPTH_LIMIT:
            raise self.error(f"is nested deeper than {DEPTH_LIMIT} messages", _BROKEN)
        known = schema.MESSAGES[kind]
        position = start
        while position < end:
            self.fields += 1
            if self.fields > FIELD_LIMIT:
                raise self.error(f"has more than {FIELD_LIMIT} fields", _BROKEN)
            tag, position = self.varint(position, end)
            number, wire = tag >> 3, tag & 7
            what = known.get(number)
            if what is None:
                raise self.error(f"has a field {number} that is not part of ONNX", _BROKEN)
            if wire not in _WIRE.get(what, _ONLY_LENGTH):
                raise self.error(f"has field {number} in wire type {wire}, which it cannot have", _BROKEN)
            self.graphs += depth == 1 and what == "GraphProto"
            position = self.field(what, wire, position, end, depth)
        self.trail.pop()

    def field(self, what: str, wire: int, position: int, end: int, depth: int) -> int:
        """Walk one field's value and give the offset behind it."""
        if wire == _VARINT:
            value, position = self.varint(position, end)
            if what == schema.LOCATION and value != 0:
                raise self.outside()
            return position
        if wire == _LENGTH:
            size, position = self.varint(position, end)
        else:
            size = _FIXED_SIZE[wire]
        stop = position + size
        if stop > end:
            raise self.error(f"declares {size} bytes where {end - position} are left", _BROKEN)
        if what in schema.MESSAGES:
            self.message(what, position, stop, depth + 1)
        elif what in _CHECKED:
            self.check(what, self.content[position:stop])
        return stop

    def check(self, what: str, value: bytes) -> None:
        """Judge a field that says where the runtime would look."""
        if what == schema.EXTERNAL:
            raise self.outside()
        if what == schema.DOMAIN and value not in DOMAINS:
            raise self.error(
                f"uses the operator domain {value[:64].decode('ascii', 'backslashreplace')!r}",
                "Only ai.onnx and com.microsoft may be used: export the model again without custom operators.",
            )
        if what == schema.OPERATOR and value in FOREIGN_OPERATORS:
            raise self.error(
                f"uses the operator {value.decode('ascii')!r}, which loads other files",
                "Export the model again as plain ONNX, not compiled for one accelerator.",
            )

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """Read a number of at most 64 bits in its shortest form; give it and the offset behind it."""
        value = shift = 0
        content = self.content
        while position < end:
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >> 64:
                    break
                return value, position
            shift += 7
            if shift > 63:
                break
        raise self.error("has a number that is cut off, too long or not in its shortest form", _BROKEN)

    def outside(self) -> GraphError:
        """Say that a tensor is stored outside the file."""
        return self.error(
            "has a tensor whose values are stored in another file",
            "Export the model again with its weights inside it (no external data).",
        )

    def error(self, message: str, hint: str) -> GraphError:
        """Say what is wrong, in which member and where inside it."""
        place = " > ".join(self.trail if len(self.trail) <= 8 else [*self.trail[:4], "…", *self.trail[-4:]])
        return GraphError(f"The model {self.name} {message} (in {place}).", hint)


_CHECKED = frozenset({schema.EXTERNAL, schema.DOMAIN, schema.OPERATOR})
