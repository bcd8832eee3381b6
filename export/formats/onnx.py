"""ONNX, opset 20: written by torch.export, run by ONNX Runtime."""

from types import MappingProxyType
from typing import TYPE_CHECKING

from export.format import TritonTarget
from export.onnx.file import OnnxFile
from export.onnx.gathers import gather_by_elements
from export.parity.tolerances import FP16, FP32
from neurocity.contract import RAY_INPUTS, TensorSpec

if TYPE_CHECKING:
    from torch import nn


class OnnxFormat(OnnxFile):
    """One self-contained `model.onnx`; equal models give equal bytes."""

    name = "onnx"
    triton = TritonTarget(backend="onnxruntime")
    fixed_budget = False
    tolerances = MappingProxyType({"fp32": FP32, "fp16": FP16})

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        """The artefact of `model`; see `Format.encode`."""
        from export.onnx.trace import finish, trace  # noqa: PLC0415, torch only when it is needed

        proto = trace(model, inputs)
        gather_by_elements(proto)
        return finish(proto, manifest_json)


FORMAT = OnnxFormat()
