"""Which nodes of an ONNX graph TensorRT does not take, with the source line of each and what would do.

The table holds for the ONNX parsers of TensorRT 10 and 11 and of TensorRT for RTX. It needs neither of them,
so a model is refused in the same words on every machine, before anything is built.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import onnx

from neurocity.errors import UnsupportedError

_BITS = "write integers arithmetically; a spatial hash: hash_kind='base_convert' in place of 'xor'"
_VALUE_SHAPE = (
    "its output's shape depends on values; mask instead, or take a fixed number with topk "
    "(as the fixed-budget render graph does)"
)
_SCATTER = "sum rows with cumsum and gather, or multiply by a mask"
_SEQUENCE = "use one tensor, stacked or split by slices"

REMEDIES: dict[str, str] = {
    "BitwiseAnd": _BITS,
    "BitwiseNot": _BITS,
    "BitwiseOr": _BITS,
    "BitwiseXor": _BITS,
    "BitShift": _BITS,
    "Compress": _VALUE_SHAPE,
    "NonZero": _VALUE_SHAPE,
    "Unique": _VALUE_SHAPE,
    "Bernoulli": "a render graph has no randomness; draw in training alone",
    "Multinomial": "a render graph has no randomness; draw in training alone",
    "CumProd": "exp of a cumsum of logarithms",
    "Det": "write the determinant out",
    "DynamicQuantizeLinear": "quantise with constant scales",
    "MatMulInteger": "multiply in float16 or float32",
    "Optional": _SEQUENCE,
    "OptionalGetElement": _SEQUENCE,
    "ConcatFromSequence": _SEQUENCE,
    "SequenceAt": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SequenceInsert": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
}
"""Operator -> what to use instead."""

_SCATTERS = ("ScatterND", "ScatterElements")
_STACK_TRACE = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_FOREIGN = ("site-packages", "dist-packages", "<")


def refuse_unsupported(proto: onnx.ModelProto) -> None:
    """Raises UnsupportedError that names every node which TensorRT does not take, if there is one."""
    if found := list(unsupported(proto)):
        counts = Counter(found)
        lines = [
            f"  {operator} at {line}" + (f" ({count} nodes)" if count > 1 else "") + f": {remedy}"
            for (operator, line, remedy), count in counts.items()
        ]
        raise UnsupportedError(
            "\n".join([f"TensorRT does not take {len(found)} nodes of this model:", *lines])
        )


def unsupported(proto: onnx.ModelProto) -> Iterator[tuple[str, str, str]]:
    """Operator, source line and remedy of every node that TensorRT does not take."""
    functions = (node for function in proto.functions for node in function.node)
    for node in _all_nodes([*proto.graph.node, *functions]):
        remedy = REMEDIES.get(node.op_type)
        operator = node.op_type
        if node.op_type in _SCATTERS and (reduction := _attribute(node, "reduction")) not in ("", "none"):
            remedy, operator = _SCATTER, f"{node.op_type} with reduction {reduction}"
        if remedy is not None:
            yield operator, source_line(node), remedy


def source_line(node: onnx.NodeProto) -> str:
    """`<package>/<file>:<line>` of the innermost frame that is no library's, or the node's name.

    `export.onnx.trace.trace` leaves stack traces on the nodes; shipped files have none.
    """
    for entry in node.metadata_props:
        if entry.key == _STACK_TRACE:
            for path, line in reversed(_FRAME.findall(entry.value)):
                if not any(part in path for part in _FOREIGN):
                    return f"{'/'.join(path.split('/')[-3:])}:{line}"
    return f"node {node.name!r}" if node.name else "a node without a name"


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of the graphs in them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_nodes(attribute.g.node)


def _attribute(node: onnx.NodeProto, name: str) -> str:
    return next((item.s.decode() for item in node.attribute if item.name == name), "")
