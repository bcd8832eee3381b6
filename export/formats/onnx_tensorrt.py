"""ONNX for Triton's onnxruntime backend with its TensorRT accelerator, which builds engines on the server.

The graph is the one that engines are built from, with a fixed number of samples a ray. Triton keeps the
engines in a cache, and builds the first with the warm-up before the model is ready.
"""

from export.formats.base import TritonTarget
from export.tensorrt.graph_file import FixedBudgetFile


class OnnxTensorRTFormat(FixedBudgetFile):
    """One self-contained `model.onnx`."""

    name = "onnx_tensorrt"
    triton = TritonTarget(backend="onnxruntime", accelerator="tensorrt")


FORMAT = OnnxTensorRTFormat()
