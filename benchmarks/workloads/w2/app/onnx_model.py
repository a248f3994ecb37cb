"""Writes ONNX models without the onnx package.

The format is protocol buffers (https://protobuf.dev/programming-guides/encoding/); the numbers of
the fields are those of ``onnx/onnx.proto``.
"""

import struct

import numpy as np

FLOAT, INT64 = 1, 7  # TensorProto.DataType
_KINDS = {"float": 1, "int": 2, "string": 3, "ints": 7}  # AttributeProto.AttributeType
IR_VERSION, OPSET = 8, 17


def varint(number):
    """Encode an integer in groups of seven bits, the lowest first; negative ones as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """One field of a message: integers, 32-bit floats, texts, bytes and nested messages."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields):
    """Encode a message of (number, value) pairs."""
    return b"".join(field(number, value) for number, value in fields)


def attribute(name, value):
    """Return an AttributeProto for a float, an int, a text or a list of ints."""
    if isinstance(value, float):
        return message((1, name), (2, value), (20, _KINDS["float"]))
    if isinstance(value, int):
        return message((1, name), (3, value), (20, _KINDS["int"]))
    if isinstance(value, str):
        return message((1, name), (4, value), (20, _KINDS["string"]))
    return message((1, name), *((8, number) for number in value), (20, _KINDS["ints"]))


def node(kind, inputs, outputs, **attributes):
    """Return a NodeProto: one operator."""
    return message(
        *((1, name) for name in inputs),
        *((2, name) for name in outputs),
        (4, kind),
        *((5, attribute(name, value)) for name, value in attributes.items()),
    )


def tensor(name, values):
    """Return a TensorProto: a constant of 32-bit floats or 64-bit integers."""
    kind, dtype = (INT64, "<i8") if values.dtype.kind == "i" else (FLOAT, "<f4")
    data = np.ascontiguousarray(values, dtype).tobytes()
    return message(*((1, size) for size in values.shape), (2, kind), (8, name), (9, data))


def value_info(name, shape, kind=FLOAT):
    """Return a ValueInfoProto: an input or output; a size that is a text may be any number."""
    sizes = [(1, message((2 if isinstance(size, str) else 1, size))) for size in shape]
    return message((1, name), (2, message((1, message((1, kind), (2, message(*sizes)))))))


def model(nodes, constants, inputs, outputs, kinds=None):
    """Return a ModelProto; ``constants`` are arrays, inputs and outputs shapes, all by name.

    kinds: those of inputs that are not FLOAT.
    """
    graph = message(
        *((1, one) for one in nodes),
        (2, "graph"),
        *((5, tensor(name, values)) for name, values in constants.items()),
        *(
            (11, value_info(name, shape, (kinds or {}).get(name, FLOAT)))
            for name, shape in inputs.items()
        ),
        *((12, value_info(name, shape)) for name, shape in outputs.items()),
    )
    return message((1, IR_VERSION), (2, "slimpack"), (7, graph), (8, message((2, OPSET))))
