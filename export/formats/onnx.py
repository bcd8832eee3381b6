"""ONNX, opset 20: written by torch.export, run by ONNX Runtime."""

from typing import TYPE_CHECKING

from export.format import TritonTarget
from export.onnx.file import OnnxFile
from export.onnx.gathers import gather_by_elements
from neurocity.contract import RAY_INPUTS, TensorSpec

if TYPE_CHECKING:
    from torch import nn


class OnnxFormat(OnnxFile):
    """One self-contained `model.onnx`; equal models give equal bytes."""

    name = "onnx"
    triton = TritonTarget(backend="onnxruntime")

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        from export.onnx.trace import finish, trace  # noqa: PLC0415, torch only when it is needed

        proto = trace(model, inputs)
        gather_by_elements(proto)
        return finish(proto, manifest_json)


FORMAT = OnnxFormat()
