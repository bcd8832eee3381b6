"""ONNX for Triton's onnxruntime backend with its TensorRT accelerator, which builds engines on the server.

The graph is the one that engines are built from, with a fixed number of samples a ray. Triton keeps the
engines in a cache, and builds the first with the warm-up before the model is ready.
"""

from types import MappingProxyType

from export.format import TritonTarget
from export.onnx.accelerator import accelerate
from export.parity.tolerances import FP32
from export.tensorrt.graph_file import FixedBudgetFile


class OnnxTensorRTFormat(FixedBudgetFile):
    """One self-contained `model.onnx`."""

    name = "onnx_tensorrt"
    triton = TritonTarget(backend="onnxruntime", accelerate=accelerate)
    # Through ONNX Runtime the accelerator may put any layer in half precision, geometry too, once it may use
    # it at all; so there is no fp16 of it.
    tolerances = MappingProxyType({"fp32": FP32})


FORMAT = OnnxTensorRTFormat()
