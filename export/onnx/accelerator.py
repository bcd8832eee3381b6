"""What `config.pbtxt` says where ONNX Runtime on a Triton server builds TensorRT engines by itself.

Parameters: the README of Triton's onnxruntime backend.
"""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.tensorrt.rays import RayProfile
from neurocity.contract import RAY_INPUTS

ENGINE_CACHE = "/tmp/neurocity-engines"
"""Folder of the server that keeps engines between starts, one folder a model below it."""


def accelerate(config: ModelConfig, rays_per_call: int) -> None:
    """Lets ONNX Runtime run the graph by TensorRT, in float32, with engines that are kept."""
    profile = RayProfile.for_calls(rays_per_call)
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    parameters = {
        "precision_mode": "FP32",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"{ENGINE_CACHE}/{config.name}",
        "trt_profile_min_shapes": _shapes(profile.least),
        "trt_profile_opt_shapes": _shapes(profile.usual),
        "trt_profile_max_shapes": _shapes(profile.most),
    }
    for name, value in parameters.items():
        accelerator.parameters[name] = value


def _shapes(rays: int) -> str:
    return ",".join(f"{spec.name}:{rays}x3" for spec in RAY_INPUTS)
