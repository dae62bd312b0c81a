"""The messages of onnx.proto that a model file may hold: field number → what stands there.

A field that is not listed is refused, so that nothing the runtime might understand passes unseen. A test compares
these tables with the descriptors of the `onnx` package.
"""

from __future__ import annotations

from typing import Final

INT: Final = "int"
INTS: Final = "ints"
FLOAT: Final = "float"
FLOATS: Final = "floats"
DOUBLES: Final = "doubles"
BYTES: Final = "bytes"
DOMAIN: Final = "domain"
"""Operator domain, checked against the allow-list."""
OPERATOR: Final = "operator"
"""Operator type, checked against the deny-list."""
EXTERNAL: Final = "external"
"""Reference to a file beside the model: never accepted."""
LOCATION: Final = "location"
"""Where a tensor's values stand: only inside the model (0) is accepted."""

MESSAGES: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {
        1: INT, 2: BYTES, 3: BYTES, 4: BYTES, 5: INT, 6: BYTES, 7: "GraphProto", 8: "OperatorSetIdProto",
        14: "StringStringEntryProto", 20: "TrainingInfoProto", 25: "FunctionProto", 26: "DeviceConfigurationProto",
    },
    "OperatorSetIdProto": {1: DOMAIN, 2: INT},
    "GraphProto": {
        1: "NodeProto", 2: BYTES, 5: "TensorProto", 10: BYTES, 11: "ValueInfoProto", 12: "ValueInfoProto",
        13: "ValueInfoProto", 14: "TensorAnnotation", 15: "SparseTensorProto", 16: "StringStringEntryProto",
    },
    "NodeProto": {
        1: BYTES, 2: BYTES, 3: BYTES, 4: OPERATOR, 5: "AttributeProto", 6: BYTES, 7: DOMAIN, 8: BYTES,
        9: "StringStringEntryProto", 10: "NodeDeviceConfigurationProto",
    },
    "AttributeProto": {
        1: BYTES, 2: FLOAT, 3: INT, 4: BYTES, 5: "TensorProto", 6: "GraphProto", 7: FLOATS, 8: INTS, 9: BYTES,
        10: "TensorProto", 11: "GraphProto", 13: BYTES, 14: "TypeProto", 15: "TypeProto", 20: INT, 21: BYTES,
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "TensorProto": {
        1: INTS, 2: INT, 3: "TensorProto.Segment", 4: FLOATS, 5: INTS, 6: BYTES, 7: INTS, 8: BYTES, 9: BYTES,
        10: DOUBLES, 11: INTS, 12: BYTES, 13: EXTERNAL, 14: LOCATION, 16: "StringStringEntryProto",
    },
    "TensorProto.Segment": {1: INT, 2: INT},
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto", 3: INTS},
    "FunctionProto": {
        1: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: "NodeProto", 8: BYTES, 9: "OperatorSetIdProto", 10: DOMAIN,
        11: "AttributeProto", 12: "ValueInfoProto", 13: BYTES, 14: "StringStringEntryProto",
    },
    "TrainingInfoProto": {
        1: "GraphProto", 2: "GraphProto", 3: "StringStringEntryProto", 4: "StringStringEntryProto",
    },
    "StringStringEntryProto": {1: BYTES, 2: BYTES},
    "TensorAnnotation": {1: BYTES, 2: "StringStringEntryProto"},
    "ValueInfoProto": {1: BYTES, 2: "TypeProto", 3: BYTES, 4: "StringStringEntryProto"},
    "TypeProto": {
        1: "TypeProto.Tensor", 4: "TypeProto.Sequence", 5: "TypeProto.Map", 6: BYTES, 7: "TypeProto.Opaque",
        8: "TypeProto.SparseTensor", 9: "TypeProto.Optional",
    },
    "TypeProto.Tensor": {1: INT, 2: "TensorShapeProto"},
    "TypeProto.SparseTensor": {1: INT, 2: "TensorShapeProto"},
    "TypeProto.Sequence": {1: "TypeProto"},
    "TypeProto.Optional": {1: "TypeProto"},
    "TypeProto.Map": {1: INT, 2: "TypeProto"},
    "TypeProto.Opaque": {1: DOMAIN, 2: BYTES},
    "TensorShapeProto": {1: "TensorShapeProto.Dimension"},
    "TensorShapeProto.Dimension": {1: INT, 2: BYTES, 3: BYTES},
    "DeviceConfigurationProto": {1: BYTES, 2: INT, 3: BYTES},
    "NodeDeviceConfigurationProto": {1: BYTES, 2: "ShardingSpecProto", 3: INT},
    "ShardingSpecProto": {1: BYTES, 2: INTS, 3: "IntIntListEntryProto", 4: "ShardedDimProto"},
    "IntIntListEntryProto": {1: INT, 2: INTS},
    "ShardedDimProto": {1: INT, 2: "SimpleShardedDimProto"},
    "SimpleShardedDimProto": {1: INT, 2: BYTES, 3: INT},
}  # fmt: skip
