"""A render graph as an ONNX model of opset 20, for every format that is ONNX or is made from it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import StackSummary

import onnx
import torch
from torch import nn
from torch.fx.proxy import TracerBase

from export.job.config import MAX_RAYS
from export.onnx.file import OPSET
from neurocity.contract import MANIFEST_KEY, RAY_INPUTS, RENDER_OUTPUTS
from neurocity.errors import UnsupportedError

EXAMPLE_RAYS = 37
"""Rays of the traced example: not 0 or 1, which torch.export specialises on, and not a bound of the axis."""

_EXPECTED_WARNINGS = (
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning),
    ("# The axis name: rays will not be used", UserWarning),
)


def trace(model: nn.Module) -> onnx.ModelProto:
    """The ONNX model of a render graph, whose nodes still tell of the source lines that they come from.

    Raises UnsupportedError when the model uses what ONNX has no symbol for.
    """
    origins = torch.zeros(EXAMPLE_RAYS, 3)
    directions = torch.tensor([[0.0, 0.6, 0.8]]).expand(EXAMPLE_RAYS, 3).contiguous()
    rays = torch.export.Dim("rays", min=1, max=MAX_RAYS)
    try:
        with _quiet_exporter(), _whole_stack_traces():
            program = torch.onnx.export(
                model,
                (origins, directions),
                input_names=[spec.name for spec in RAY_INPUTS],
                output_names=[spec.name for spec in RENDER_OUTPUTS],
                dynamic_shapes=({0: rays}, {0: rays}),
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
def _quiet_exporter() -> Iterator[None]:
    """Hides what the exporter says of optional packages and of the two inputs sharing one axis name."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message, category in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message, category)
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
