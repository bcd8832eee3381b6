"""ONNX, opset 20: written by torch.export, run by ONNX Runtime."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime

from export.checks import Check, equal
from export.config import MAX_RAYS
from export.format import Floats, Rendered, Renderer, Signature, TritonTarget
from neurocity.contract import (
    MANIFEST_KEY,
    RAY_DIRECTIONS,
    RAY_INPUTS,
    RAY_ORIGINS,
    RENDER_OUTPUTS,
    TensorSpec,
)
from neurocity.errors import ManifestError, MissingDependencyError, UnsupportedError

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
IR_VERSION = 10
"""The newest that ONNX Runtime 1.20, and with it every Triton release since 24.12, opens."""
EXAMPLE_RAYS = 37
"""Rays of the traced example: not 0 or 1, which torch.export specialises on, and not a bound of the axis."""

_RANDOM_OPS = ("Random", "Bernoulli", "Multinomial")
_PROVIDERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "cpu": [("CPUExecutionProvider", {})],
    # TensorFloat-32 keeps 10 bits of a product; the artefact is verified, and served, in float32.
    "cuda": [("CUDAExecutionProvider", {"use_tf32": "0"}), ("CPUExecutionProvider", {})],
}
_EXPECTED_WARNINGS = (
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning),
    ("# The axis name: rays will not be used", UserWarning),
)


class OnnxFormat:
    """One self-contained `model.onnx`; equal models give equal bytes."""

    name = "onnx"
    file_name = "model.onnx"
    triton = TritonTarget(backend="onnxruntime")
    packages = ("torch", "onnx", "onnxscript", "onnxruntime")
    fixed_budget = False

    def encode(self, model: "nn.Module", manifest_json: str) -> bytes:
        import torch  # noqa: PLC0415, opening an artefact needs none

        origins = torch.zeros(EXAMPLE_RAYS, 3)
        directions = torch.tensor([[0.0, 0.6, 0.8]]).expand(EXAMPLE_RAYS, 3).contiguous()
        rays = torch.export.Dim("rays", min=1, max=MAX_RAYS)
        try:
            with _quiet_exporter():
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
        proto = program.model_proto
        _forget_origin(proto)
        proto.metadata_props.add(key=MANIFEST_KEY, value=manifest_json)
        onnx.checker.check_model(proto, full_check=True)
        return proto.SerializeToString(deterministic=True)

    def open(self, path: Path, device: str) -> Renderer:
        providers = _PROVIDERS[device]
        wanted = providers[0][0]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if wanted not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                f"ONNX Runtime has no {wanted} here; pip install 'neurocity[gpu]' brings one with CUDA"
            )
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        if session.get_providers()[0] != wanted:
            raise MissingDependencyError(
                f"ONNX Runtime could not start {wanted} and would run on {session.get_providers()[0]}; "
                "its CUDA libraries are missing or too old"
            )

        def render(ray_origins: Floats, ray_directions: Floats) -> Rendered:
            rays = {RAY_ORIGINS: ray_origins, RAY_DIRECTIONS: ray_directions}
            return Rendered(*session.run([spec.name for spec in RENDER_OUTPUTS], rays))

        return render

    def signature(self, path: Path) -> Signature:
        graph = onnx.load(path).graph
        return Signature(tuple(map(_spec, graph.input)), tuple(map(_spec, graph.output)))

    def read_manifest(self, path: Path) -> str:
        for entry in onnx.load(path).metadata_props:
            if entry.key == MANIFEST_KEY:
                return str(entry.value)
        raise ManifestError(f"{path}: no {MANIFEST_KEY!r} in the ONNX metadata")

    def tensor_bytes(self, path: Path) -> dict[str, int]:
        tensors = onnx.load(path).graph.initializer
        return {tensor.name: onnx.numpy_helper.to_array(tensor).nbytes for tensor in tensors}

    def inspect(self, path: Path) -> tuple[Check, ...]:
        proto = onnx.load(path, load_external_data=False)
        opset = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
        nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
        random = sorted({node.op_type for node in nodes if node.op_type.startswith(_RANDOM_OPS)})
        external = sum(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)
        return (
            equal("opset", self.file_name, opset.get("ai.onnx", 0), OPSET),
            equal("IR version", self.file_name, proto.ir_version, IR_VERSION),
            equal("random operators", self.file_name, " ".join(random) or "none", "none"),
            equal("tensors in other files", self.file_name, external, 0),
        )


FORMAT = OnnxFormat()


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


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    shape = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
