"""A render graph as an ONNX model of opset 20, for every format that is ONNX or is made from it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import StackSummary

import onnx
import torch
from torch import nn
from torch.fx.proxy import TracerBase

from export.example_rays import example_rays, quiet_torch, ray_axes
from export.onnx.file import OPSET
from neurocity.contract import MANIFEST_KEY, RENDER_OUTPUTS, TensorSpec
from neurocity.errors import UnsupportedError


def trace(model: nn.Module, inputs: tuple[TensorSpec, ...]) -> onnx.ModelProto:
    """The ONNX model of a render graph, whose nodes still tell of the source lines that they come from.

    inputs: what the graph takes.

    Raises UnsupportedError when the model uses what ONNX has no symbol for.
    """
    try:
        with quiet_torch(), _quiet_registration(), _whole_stack_traces():
            program = torch.onnx.export(
                model,
                example_rays(inputs, "cpu"),
                input_names=[spec.name for spec in inputs],
                output_names=[spec.name for spec in RENDER_OUTPUTS],
                dynamic_shapes=ray_axes(inputs),
                opset_version=OPSET,
                dynamo=True,
                optimize=True,
                verify=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise UnsupportedError(f"ONNX cannot express this model: {_root_cause(error)}") from error
    if program is None:
        raise UnsupportedError("torch.onnx.export returned no program")
    return program.model_proto


def finish(proto: onnx.ModelProto, manifest_json: str) -> bytes:
    """The checked bytes of `proto` with the manifest inside and nothing of the machine that made it."""
    _forget_origin(proto)
    proto.metadata_props.add(key=MANIFEST_KEY, value=manifest_json)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


@contextmanager
def _quiet_registration() -> Iterator[None]:
    """Hides what the exporter says of optional packages."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        yield
    finally:
        registration.setLevel(level)


@contextmanager
def _whole_stack_traces() -> Iterator[None]:
    """Lets torch keep all of our frames on a node, not those named `forward` alone.

    There is no public switch for it; `export.tensorrt.preflight` tells the place of a node by them.
    """
    kept = TracerBase._filter_traceback_frames

    def ours(_tracer: TracerBase, summary: StackSummary) -> StackSummary:
        package = str(Path(torch.__file__).parent)
        return StackSummary.from_list([frame for frame in summary if not frame.filename.startswith(package)])

    TracerBase._filter_traceback_frames = ours  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = kept  # type: ignore[method-assign]


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Removes what tells of the machine that exported: stack traces and module paths on nodes and values."""
    graph = proto.graph
    records = [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for function in proto.functions:
        records += [function, *function.node, *function.value_info]
    for record in records:
        del record.metadata_props[:]
        record.doc_string = ""
