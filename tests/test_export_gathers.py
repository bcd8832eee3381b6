"""Gathers become gathers by elements where that means the same, and nowhere else."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.onnx.file import OPSET
from export.onnx.gathers import MOST_ROWS, gather_by_elements

Shape = list[int | str]


def graph(shape: Shape, index: Shape, axis: int, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    node = helper.make_node("Gather", ["data", "index"], ["values"], "gather", axis=axis)
    node.metadata_props.add(key="source", value="a line")
    inputs = [
        helper.make_tensor_value_info("data", kind, shape),
        helper.make_tensor_value_info("index", TensorProto.INT64, index),
    ]
    last = axis % len(shape)
    outputs = [helper.make_tensor_value_info("values", kind, [*shape[:last], *index, *shape[last + 1 :]])]
    made = helper.make_graph([node], "one gather", inputs, outputs)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def run(proto: onnx.ModelProto, data: np.ndarray, index: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    values: np.ndarray = session.run(None, {"data": data, "index": index})[0]
    return values


@pytest.mark.parametrize(
    ("shape", "axis", "kinds"),
    [
        (["n"], 0, ["GatherElements"]),
        ([9], -1, ["GatherElements"]),
        ([3, "n"], 1, ["Expand", "GatherElements"]),
        ([MOST_ROWS, 9], -1, ["Expand", "GatherElements"]),
        ([MOST_ROWS + 1, 9], -1, ["Gather"]),
        (["n", 3], 0, ["Gather"]),
        ([3, 9], 0, ["Gather"]),
        (["m", "n"], 1, ["Gather"]),
        ([2, 3, 9], 2, ["Gather"]),
    ],
)
def test_the_values_are_the_same(shape: Shape, axis: int, kinds: list[str]) -> None:
    proto = graph(shape, ["k"], axis)
    sizes = [9 if isinstance(size, str) else size for size in shape]
    data = np.random.default_rng(0).random(sizes, np.float32)
    for index in (np.array([0, 2, 2, 1, -1]), np.zeros(0, np.int64)):
        expected = run(graph(shape, ["k"], axis), data, index)
        gather_by_elements(proto)
        assert [node.op_type for node in proto.graph.node] == kinds
        assert np.array_equal(run(proto, data, index), expected)
    assert {each.key: each.value for each in proto.graph.node[-1].metadata_props} == {"source": "a line"}


@pytest.mark.parametrize("index", [[], ["k", 2]])
def test_other_indices_are_left_alone(index: Shape) -> None:
    proto = graph(["n"], index, 0)
    gather_by_elements(proto)
    assert [node.op_type for node in proto.graph.node] == ["Gather"]


def test_a_value_of_unknown_shape_is_left_alone() -> None:
    proto = graph(["n"], ["k"], 0)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    gather_by_elements(proto)
    assert [node.op_type for node in proto.graph.node] == ["Gather"]


def test_parameters_and_truth_values_are_gathered_too() -> None:
    proto = graph(["n"], ["k"], 0, TensorProto.BOOL)
    proto.graph.input.pop(0)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([True, False, True]), "data"))
    gather_by_elements(proto)
    assert [node.op_type for node in proto.graph.node] == ["GatherElements"]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    assert session.run(None, {"index": np.array([1, 0, 2])})[0].tolist() == [False, True, True]
