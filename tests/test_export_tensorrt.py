"""Engines: what is not taken is told with its place and its remedy.

`test_export_capabilities` builds an engine of every family's graph, and proves the graph equal to the model.
"""

import copy
import sys

import numpy as np
import onnx
import pytest
import tensorrt_rtx
import torch
from family_models import rays, tiny_model_of
from onnx import TensorProto, helper

from export.formats import tensorrt as tensorrt_format
from export.formats.registry import get_format
from export.job.source import render_graph
from export.renderer import RayProfile
from export.tensorrt.engine import build
from export.tensorrt.execution import open_engine
from export.tensorrt.library import has_cuda_device, load_library
from export.tensorrt.preflight import REMEDIES, refuse_unsupported
from neurocity.cameras import Rays
from neurocity.contract import RENDER_OUTPUTS, ray_inputs
from neurocity.errors import ConfigError, ExportError, MissingDependencyError, UnsupportedError

PROFILE = RayProfile(least=1, usual=256, most=1024)


def test_a_spatial_hash_of_bits_is_refused_with_its_place_and_a_remedy() -> None:
    model = tiny_model_of("instant_ngp", False, hash_kind="xor", finest_resolution=512, log2_hashmap_size=8)
    with pytest.raises(UnsupportedError) as caught:
        tensorrt_format.FORMAT.encode(render_graph(model, "fp32", 8), "{}")
    message = str(caught.value)
    assert "TensorRT does not take" in message
    assert "BitwiseXor at neurocity/rendering/hash_grid.py:" in message
    assert "hash_kind='base_convert'" in message
    with open("neurocity/rendering/hash_grid.py") as file:  # noqa: PTH123, the line is what is tested
        lines = file.readlines()
    number = int(message.partition("hash_grid.py:")[2].partition(" ")[0].rstrip(":"))
    assert "^" in lines[number - 1]


def test_the_packed_graph_is_refused_in_one_message_for_all_its_nodes() -> None:
    model = copy.deepcopy(tiny_model_of("instant_ngp", False))
    model.termination_rounds = model.termination_rounds[-1:]  # one has every kind of node
    with pytest.raises(UnsupportedError) as caught:
        tensorrt_format.FORMAT.encode(model, "{}")
    lines = str(caught.value).splitlines()
    assert all("NonZero at neurocity/rendering/" in line for line in lines[1:])
    assert any("marching.py" in line for line in lines)
    assert any("marched_field.py" in line for line in lines)
    assert all("fixed number with topk" in line for line in lines[1:])


def one_node(operator: str, inputs: list[TensorProto], **attributes: object) -> onnx.ModelProto:
    """A model of one operator over constants; names of inputs and outputs are not a render graph's."""
    names = [tensor.name for tensor in inputs]
    node = helper.make_node(operator, names, ["out"], name="the_node", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("unused", TensorProto.FLOAT, ["rays", 3])],
        [helper.make_tensor_value_info("out", inputs[0].data_type, None)],
        initializer=inputs,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def constant(name: str, values: object) -> TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(values), name)


SCATTERS = {
    "ScatterND": [
        constant("data", np.zeros((4, 2), np.float32)),
        constant("rows", [[1]]),
        constant("new", np.ones((1, 2), np.float32)),
    ],
    "ScatterElements": [
        constant("data", np.zeros((4, 2), np.float32)),
        constant("rows", [[1, 1]]),
        constant("new", np.ones((1, 2), np.float32)),
    ],
}


@pytest.mark.parametrize("operator", SCATTERS)
def test_scatters_are_refused_if_they_reduce(operator: str) -> None:
    plain = one_node(operator, SCATTERS[operator])
    refuse_unsupported(plain)
    summing = one_node(operator, SCATTERS[operator], reduction="add")
    with pytest.raises(UnsupportedError, match=f"{operator} with reduction add at node 'the_node': sum rows"):
        refuse_unsupported(summing)
    with pytest.raises(UnsupportedError, match=r"does not take this graph:\n  .*[Rr]eduction"):
        build(summing.SerializeToString(), load_library("tensorrt-rtx"), PROFILE)


def test_the_table_of_remedies_is_true() -> None:
    """The parser knows a name for NonZero, and no code behind it."""
    log = tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR)
    network = tensorrt_rtx.Builder(log).create_network(0)
    parser = tensorrt_rtx.OnnxParser(network, log)
    assert [operator for operator in REMEDIES if parser.supports_operator(operator)] == ["NonZero"]
    found = one_node("NonZero", [constant("data", np.ones((4, 2), np.float32))])
    with pytest.raises(UnsupportedError, match="NonZero"):
        build(found.SerializeToString(), load_library("tensorrt-rtx"), PROFILE)


def test_other_inputs_and_outputs_are_refused() -> None:
    ray = helper.make_tensor_value_info("rays", TensorProto.FLOAT, ["rays", 3])
    out = helper.make_tensor_value_info("light", TensorProto.FLOAT, ["rays", 3])
    graph = helper.make_graph([helper.make_node("Sigmoid", ["rays"], ["light"])], "other", [ray], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(
        ExportError, match=r"got the tensors rays FLOAT \[-1, 3\], light .*expected ray_origins"
    ):
        build(model.SerializeToString(), load_library("tensorrt-rtx"), PROFILE)
    assert [spec.name for spec in RENDER_OUTPUTS] == ["rgb", "depth", "opacity"]


@pytest.mark.parametrize("numbers", [(0, 1, 2), (5, 4, 8), (1, 9, 8), (1, 2, 1 << 21)])
def test_numbers_of_rays_are_checked(numbers: tuple[int, int, int]) -> None:
    least, usual, most = numbers
    with pytest.raises(ConfigError, match=f"got min {least}, opt {usual}, max {most}"):
        RayProfile(least=least, usual=usual, most=most)


def test_a_usual_call_has_room_above_and_below() -> None:
    assert RayProfile.for_calls(4096) == RayProfile(least=1, usual=4096, most=16384)
    assert RayProfile.for_calls(1 << 20).most == 1 << 20


@pytest.mark.parametrize(
    ("engine", "package", "hint"),
    [
        ("tensorrt-rtx", "tensorrt_rtx", r"neurocity\[tensorrt-rtx\]"),
        ("tensorrt", "tensorrt", "tensorrt-rtx builds"),
    ],
)
def test_a_missing_library_is_told(monkeypatch, engine, package, hint) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"needs the package '{package}'.*{hint}"):
        load_library(engine)


@pytest.mark.skipif(has_cuda_device(), reason="there is a CUDA device")
def test_tensorrt_itself_wants_the_device_that_it_builds_for(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_rtx)
    with pytest.raises(MissingDependencyError, match="no CUDA device here; --engine tensorrt-rtx"):
        load_library("tensorrt")


def test_what_runs_an_engine_is_there_in_the_library() -> None:
    """Where no engine can be run, at least the names that `open_engine` calls are the library's."""
    called = {
        "Runtime": ("deserialize_cuda_engine",),
        "ICudaEngine": ("create_execution_context", "num_io_tensors"),
        "IExecutionContext": (
            "set_input_shape",
            "get_tensor_shape",
            "set_tensor_address",
            "execute_async_v3",
        ),
    }
    assert [
        f"{kind}.{name}"
        for kind, names in called.items()
        for name in names
        if not hasattr(getattr(tensorrt_rtx, kind), name)
    ] == []


@pytest.mark.gpu
def test_an_engine_renders_what_the_model_does() -> None:
    model = tiny_model_of("svraster", False)
    samples = int(model.samples_needed(*rays()).max())
    inputs = ray_inputs(needs_ray_radii=False)
    artefact = get_format("tensorrt").encode(model.fixed_budget(samples), "{}", inputs)
    library = load_library("tensorrt-rtx")
    render = open_engine(build(artefact, library, RayProfile.for_calls(64)), library)
    with torch.no_grad():
        expected = model(*rays())
    got = render(Rays(*(part.numpy() for part in rays())))
    for plane, wanted in zip(got, expected, strict=True):
        assert np.allclose(plane, wanted.numpy(), atol=2e-3)
