"""The walk finds what would make the runtime leave the file, wherever it stands, and agrees with the `onnx` package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from aidpost_device.bundle import onnx_schema, onnx_walk
from aidpost_device.bundle.onnx_walk import check_graph
from aidpost_device.errors import GraphError

from . import bundles


def tensor(**changes: object) -> TensorProto:
    """A small tensor."""
    made = numpy_helper.from_array(np.ones(2, np.float32), "t")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def external() -> TensorProto:
    """A tensor that is stored in another file."""
    made = TensorProto(name="t", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="/etc/passwd")
    return made


def branch(*nodes: onnx.NodeProto, tensors: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    """A subgraph."""
    return helper.make_graph(list(nodes), "branch", [], [], list(tensors))


def node(domain: str = "", **attributes: Any) -> onnx.NodeProto:
    """An operator that holds the attributes."""
    return helper.make_node("Constant", [], ["c"], domain=domain, **attributes)


def function(*nodes: onnx.NodeProto, domain: str = "", imports: tuple[str, ...] = ("",)) -> onnx.FunctionProto:
    """A function of the model."""
    opsets = [helper.make_opsetid(one, 1) for one in imports]
    return helper.make_function(domain or "ai.onnx", "F", [], ["c"], list(nodes), opsets)


def sparse(values: TensorProto) -> onnx.SparseTensorProto:
    """A sparse tensor around a tensor."""
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(2), "i"), [2])


def model(change: Callable[[ModelProto], object]) -> bytes:
    """The good model after one change."""
    made = bundles.graph()
    change(made)
    return bytes(made.SerializeToString())


def external_sparse() -> onnx.SparseTensorProto:
    made = sparse(tensor())
    made.values.CopyFrom(external())
    return made


def only_marked() -> TensorProto:
    """A tensor that is marked as external but names no file."""
    return tensor(data_location=TensorProto.EXTERNAL)


def only_named() -> TensorProto:
    """A tensor that names a file but is not marked."""
    made = tensor()
    made.external_data.add(key="location", value="weights.bin")
    return made


EXTERNAL: dict[str, Callable[[ModelProto], object]] = {
    "initializer": lambda m: m.graph.initializer.append(external()),
    "initializer, only marked": lambda m: m.graph.initializer.append(only_marked()),
    "initializer, only named": lambda m: m.graph.initializer.append(only_named()),
    "sparse initializer": lambda m: m.graph.sparse_initializer.append(external_sparse()),
    "attribute": lambda m: m.graph.node.append(node(value=external())),
    "attribute list": lambda m: m.graph.node.append(node(values=[tensor(), external()])),
    "sparse attribute": lambda m: m.graph.node.append(node(value=external_sparse())),
    "branch's initializer": lambda m: m.graph.node.append(node(then_branch=branch(tensors=(external(),)))),
    "branch's branch": lambda m: m.graph.node.append(node(body=branch(node(body=branch(node(value=external())))))),
    "branch in a list": lambda m: m.graph.node.append(node(graphs=[branch(), branch(tensors=(external(),))])),
    "function": lambda m: m.functions.append(function(node(value=external()))),
    "function's branch": lambda m: m.functions.append(function(node(body=branch(tensors=(external(),))))),
    "function's default": lambda m: m.functions.add().attribute_proto.append(helper.make_attribute("a", external())),
    "training": lambda m: m.training_info.add().initialization.initializer.append(external()),
}

FOREIGN: dict[str, Callable[[ModelProto], object]] = {
    "node": lambda m: m.graph.node.append(node("evil")),
    "close to a good one": lambda m: m.graph.node.append(node("com.microsoft.")),
    "with a zero byte": lambda m: m.graph.node.append(node("ai.onnx\0")),
    "other case": lambda m: m.graph.node.append(node("AI.ONNX")),
    "machine learning": lambda m: m.graph.node.append(node("ai.onnx.ml")),
    "import": lambda m: m.opset_import.append(helper.make_opsetid("evil", 1)),
    "branch": lambda m: m.graph.node.append(node(then_branch=branch(node("evil")))),
    "loop in a branch": lambda m: m.graph.node.append(node(body=branch(node(body=branch(node("evil")))))),
    "function's own": lambda m: m.functions.append(function(node(), domain="evil")),
    "function's node": lambda m: m.functions.append(function(node("evil"))),
    "function's import": lambda m: m.functions.append(function(node(), imports=("", "evil"))),
    "function's branch": lambda m: m.functions.append(function(node(body=branch(node("evil"))))),
    "function's default": lambda m: m.functions.add().attribute_proto.append(
        helper.make_attribute("a", branch(node("evil")))
    ),
    "training": lambda m: m.training_info.add().algorithm.node.append(node("evil")),
}


@pytest.mark.parametrize("where", EXTERNAL)
def test_external_data_are_found(where: str) -> None:
    with pytest.raises(GraphError, match="stored in another file") as caught:
        check_graph("model.onnx", model(EXTERNAL[where]))
    assert "external data" in caught.value.hint


@pytest.mark.parametrize("where", FOREIGN)
def test_foreign_domains_are_found(where: str) -> None:
    with pytest.raises(GraphError, match="operator domain") as caught:
        check_graph("model.onnx", model(FOREIGN[where]))
    assert "custom operators" in caught.value.hint


def test_compiled_models_are_found() -> None:
    context = helper.make_node("EPContext", [], ["c"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    with pytest.raises(GraphError, match="EPContext"):
        check_graph("model.onnx", model(lambda m: m.graph.node.append(context)))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: None,
        lambda m: m.graph.node.append(node("com.microsoft", value=tensor())),
        lambda m: m.graph.node.append(node("ai.onnx", body=branch(node(), tensors=(tensor(),)))),
        lambda m: m.functions.append(function(node(value=tensor()), imports=("", "com.microsoft"))),
        lambda m: m.graph.sparse_initializer.append(sparse(tensor())),
        # Names and texts are data, also when they look like what is looked for.
        lambda m: setattr(m, "doc_string", "external_data evil EPContext"),
        lambda m: m.metadata_props.add(key="external_data", value="weights.bin"),
        lambda m: m.graph.node.append(helper.make_node("Identity", ["evil"], ["b"], name="com.evil")),
    ],
)
def test_good_models_pass(change: Callable[[ModelProto], object]) -> None:
    check_graph("model.onnx", model(change))


def field(number: int, wire: int, content: bytes = b"") -> bytes:
    """Encode one field by hand, with its length where it has one."""
    length = varint(len(content)) if wire == 2 else b""
    return varint(number << 3 | wire) + length + content


def varint(value: int) -> bytes:
    """Encode a number in its shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def nested(kind: int, depth: int) -> bytes:
    """Sequence types inside one another."""
    content = b""
    for _ in range(depth):
        content = field(4, 2, field(1, 2, content))
    return field(7, 2, field(kind, 2, field(2, 2, content)))


RAW = {
    "an unknown field": (field(99, 2, b"x"), "field 99 that is not part of ONNX"),
    "field zero": (b"\x02\x00", "field 0"),
    "a group": (b"\x0b\x0c", "wire type 3"),
    "the end of a group": (b"\x0c", "wire type 4"),
    "wire type 6": (b"\x0e", "wire type 6"),
    "wire type 7": (b"\x0f", "wire type 7"),
    "another wire type": (field(7, 0, b"\x01"), "wire type 0"),
    "external data as a number": (field(7, 2, field(5, 2, field(13, 0, b"\x01"))), "wire type 0"),
    "a location beyond 32 bits": (field(7, 2, field(5, 2, field(14, 0, varint(2**32 + 1)))), "another file"),
    "an unknown location": (field(7, 2, field(5, 2, field(14, 0, b"\x02"))), "another file"),
    "a tag cut off": (b"\x80", "cut off"),
    "a number cut off": (b"\x08\xff", "cut off"),
    "a length cut off": (b"\x3a\x80", "cut off"),
    "a length beyond the end": (b"\x3a\x05abc", "declares 5 bytes where 3 are left"),
    "a length beyond its message": (field(7, 2, b"\x12\x09a") + b"........", "declares 9 bytes"),
    "a fixed number cut off": (field(7, 2, field(1, 2, field(5, 2, b"\x15\x00\x00"))), "declares 4 bytes"),
    "an overlong number": (b"\x08\x80\x00", "shortest form"),
    "a number of 11 bytes": (b"\x08" + b"\xff" * 10 + b"\x01", "too long"),
    "a number of 65 bits": (b"\x08" + b"\xff" * 9 + b"\x02", "too long"),
    "an overlong tag": (b"\x88\x00\x01", "shortest form"),
    "no graph": (field(1, 0, b"\x08"), "0 graphs"),
    "two graphs": (field(7, 2) * 2, "2 graphs"),
    "the mark of the runtime's own format": (b"\x08\x01\x12\x04ORTM" + field(7, 2), "own format"),
    "deep nesting": (nested(11, 40), "deeper than 64"),
    "not ONNX": (b"\x89PNG\r\n\x1a\n" + b"x" * 40, "not part of ONNX|wire type|declares"),
}


@pytest.mark.parametrize("what", RAW)
def test_broken_encodings_are_refused(what: str) -> None:
    content, message = RAW[what]
    with pytest.raises(GraphError, match=message) as caught:
        check_graph("model.onnx", content)
    assert caught.value.hint


def test_the_number_of_fields_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_walk, "FIELD_LIMIT", 10)
    graph = field(7, 2)
    check_graph("model.onnx", graph + field(1, 0, b"\x01") * 9)
    with pytest.raises(GraphError, match="more than 10 fields"):
        check_graph("model.onnx", graph + field(1, 0, b"\x01") * 10)


def test_the_error_names_member_and_place() -> None:
    with pytest.raises(GraphError, match=r"model model\.int8\.onnx .*ModelProto > FunctionProto > NodeProto"):
        check_graph("model.int8.onnx", model(FOREIGN["function's node"]))


# ---- against the onnx package ---------------------------------------------------------------------------------------

KINDS = {
    FieldDescriptor.TYPE_STRING: ("bytes", "bytes"),
    FieldDescriptor.TYPE_BYTES: ("bytes", "bytes"),
    FieldDescriptor.TYPE_FLOAT: ("float", "floats"),
    FieldDescriptor.TYPE_DOUBLE: ("double", "doubles"),
    FieldDescriptor.TYPE_INT32: ("int", "ints"),
    FieldDescriptor.TYPE_INT64: ("int", "ints"),
    FieldDescriptor.TYPE_UINT64: ("int", "ints"),
    FieldDescriptor.TYPE_ENUM: ("int", "ints"),
}
SPECIAL = {
    ("OperatorSetIdProto", 1): "domain",
    ("NodeProto", 4): "operator",
    ("NodeProto", 7): "domain",
    ("FunctionProto", 10): "domain",
    ("TypeProto.Opaque", 1): "domain",
    ("TensorProto", 13): "external",
    ("TensorProto", 14): "location",
}


def tables(descriptor: Descriptor, found: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
    """Derive the tables from the package's own description of the format."""
    name = descriptor.full_name.removeprefix("onnx.")
    if name in found:
        return found
    found[name] = {}
    for one in descriptor.fields:
        if one.message_type is not None:
            found[name][one.number] = one.message_type.full_name.removeprefix("onnx.")
            tables(one.message_type, found)
        else:
            found[name][one.number] = KINDS[one.type][one.is_repeated]
        found[name][one.number] = SPECIAL.get((name, one.number), found[name][one.number])
    return found


def test_the_tables_are_those_of_onnx() -> None:
    assert tables(ModelProto.DESCRIPTOR, {}) == onnx_schema.MESSAGES


def messages(message: Message) -> Iterator[Message]:
    """Every message inside a message."""
    yield message
    for described, value in message.ListFields():
        if described.message_type is not None:
            for inner in value if described.is_repeated else [value]:
                yield from messages(inner)


def is_outside(message: Message) -> bool:
    """Judge one parsed message the way the walk must."""
    if isinstance(message, TensorProto):
        return bool(message.external_data) or message.data_location != TensorProto.DEFAULT
    if isinstance(message, (onnx.NodeProto, onnx.OperatorSetIdProto, onnx.FunctionProto)):
        return message.domain not in ("", "ai.onnx", "com.microsoft")
    return False


SEEDS = [model(lambda m: None), *map(model, EXTERNAL.values()), *map(model, FOREIGN.values())]


@given(
    st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=4)
)
def test_what_the_walk_accepts_the_package_finds_harmless(seed: bytes, edits: list[tuple[int, bytes]]) -> None:
    content = bytearray(seed)
    for place, replacement in edits:
        start = place % len(content)
        content[start : start + len(replacement)] = replacement
    try:
        check_graph("model.onnx", bytes(content))
    except GraphError:
        return
    try:
        parsed = ModelProto.FromString(bytes(content))
    except DecodeError:  # a text that is not UTF-8: the runtime refuses it too
        return
    assert not any(is_outside(message) for message in messages(parsed))


@given(st.binary(max_size=200))
def test_any_bytes_give_our_own_error_or_none(content: bytes) -> None:
    try:
        check_graph("model.onnx", content)
    except GraphError as error:
        assert error.hint
