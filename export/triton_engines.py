"""What `config.pbtxt` says where Triton or its ONNX Runtime prepares engines before the first request.

Parameters of the accelerator: the README of Triton's onnxruntime backend.
"""

from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from export.rays import view_rays
from export.repository import write_synced
from export.tensorrt.rays import RayProfile
from neurocity.contract import RAY_INPUTS, SceneManifest

WARM_UP_FOLDER = "warmup"
"""Where Triton looks for the data of warm-up requests, inside a model's folder."""
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


def warm_up(config: ModelConfig, rays_per_call: int) -> None:
    """Lets Triton render the rays of `write_warm_up_rays` before the model is ready."""
    request = config.model_warmup.add(name="rays of a held-out view", batch_size=1)
    for spec in RAY_INPUTS:
        tensor = request.inputs[spec.name]
        tensor.data_type = DataType.TYPE_FP32
        tensor.dims.extend([rays_per_call, 3])
        tensor.input_data_file = spec.name


def write_warm_up_rays(model_folder: Path, manifest: SceneManifest) -> None:
    """The rays of the first held-out view, again and again up to a usual call, as raw float32."""
    folder = model_folder / WARM_UP_FOLDER
    folder.mkdir()
    rays = view_rays(manifest.info.views[0])
    for spec, values in zip(RAY_INPUTS, rays, strict=True):
        repeated = np.resize(values, (manifest.rays_per_call, 3))
        write_synced(folder / spec.name, repeated.astype("<f4").tobytes())


def _shapes(rays: int) -> str:
    return ",".join(f"{spec.name}:{rays}x3" for spec in RAY_INPUTS)
