"""A format of the tests, in one file that the command finds beside those of the package."""

from types import MappingProxyType
from typing import TYPE_CHECKING

from export.format import TritonTarget
from export.onnx.file import OnnxFile
from export.parity.tolerances import FP32
from neurocity.contract import RAY_INPUTS, TensorSpec

if TYPE_CHECKING:
    from torch import nn


class ToyFormat(OnnxFile):
    """ONNX under another ending."""

    name = "toy"
    file_name = "model.toy"
    triton = TritonTarget(backend="onnxruntime")
    tolerances = MappingProxyType({"fp32": FP32})

    def encode(
        self, model: "nn.Module", manifest_json: str, inputs: tuple[TensorSpec, ...] = RAY_INPUTS
    ) -> bytes:
        from export.onnx.trace import finish, trace  # noqa: PLC0415

        return finish(trace(model, inputs), manifest_json)


FORMAT = ToyFormat()
