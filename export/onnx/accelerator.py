"""What `config.pbtxt` says where ONNX Runtime on a Triton server builds TensorRT engines by itself.

Parameters: the README of Triton's onnxruntime backend.
"""

from typing import TYPE_CHECKING

from export.renderer import RayProfile
from neurocity.contract import TensorSpec

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

ENGINE_CACHE = "/tmp/neurocity-engines"
"""Folder of the server that keeps engines between starts, one folder a model below it."""


def accelerate(config: "ModelConfig", inputs: tuple[TensorSpec, ...], rays_per_call: int) -> None:
    """Lets ONNX Runtime run the graph by TensorRT, in float32, with engines that are kept."""
    profile = RayProfile.for_calls(rays_per_call)
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    parameters = {
        "precision_mode": "FP32",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"{ENGINE_CACHE}/{config.name}",
    }
    for size, rays in (("min", profile.least), ("opt", profile.usual), ("max", profile.most)):
        shapes = (f"{spec.name}:{rays}x{spec.shape[1]}" for spec in inputs)
        parameters[f"trt_profile_{size}_shapes"] = ",".join(shapes)
    accelerator.parameters.update(parameters)
