"""ONNX for Triton's onnxruntime backend with its TensorRT accelerator, which builds engines on the server.

The graph is the one that engines are built from, with a fixed number of samples a ray. Triton keeps the
engines in a cache, and builds the first with the warm-up before the model is ready.
"""

from typing import TYPE_CHECKING

from export.format import TritonTarget
from export.onnx_file import OnnxFile
from export.tensorrt.preflight import refuse_unsupported

if TYPE_CHECKING:
    from torch import nn


class OnnxTensorRTFormat(OnnxFile):
    """One self-contained `model.onnx`; equal models give equal bytes."""

    name = "onnx_tensorrt"
    triton = TritonTarget(backend="onnxruntime", accelerator="tensorrt")
    fixed_budget = True

    def encode(self, model: "nn.Module", manifest_json: str) -> bytes:
        """The artefact of `model`; see `Format.encode`."""
        from export.onnx_graph import finish, trace  # noqa: PLC0415, torch only when it is needed

        proto = trace(model)
        refuse_unsupported(proto)
        return finish(proto, manifest_json)


FORMAT = OnnxTensorRTFormat()
