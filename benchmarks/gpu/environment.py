"""What the machine has: the device, and the packages that figures depend on."""

import platform
import subprocess
from importlib import import_module
from typing import Any

import torch

from benchmarks.machine import facts
from neurocity.device import check_device
from neurocity.kernels.library import this_processor

PACKAGES = ("numpy", "pytorch_lightning", "triton", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx")


def environment(values: dict[str, Any]) -> dict[str, Any]:
    """One sentence. Raises MissingDependencyError without the device or the compiled kernels."""
    check_device(values["device"])
    parts = [facts(), f"Python {platform.python_version()}", f"kernels for {this_processor()}"]
    parts += [found for name in PACKAGES if (found := _version(name))]
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        parts += [
            f"{properties.total_memory / 2**30:.0f} GiB",
            f"compute capability {properties.major}.{properties.minor}",
            f"CUDA {torch.version.cuda}",
            f"driver {_driver()}",
        ]
    return {"sentence": ", ".join(parts)}


def _version(name: str) -> str:
    try:
        module = import_module(name)
    except ImportError:
        return ""
    found = f"{name} {module.__version__}"
    return f"{found} ({', '.join(module.get_available_providers())})" if name == "onnxruntime" else found


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, timeout=20.0, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return run.stdout.split("\n")[0].strip()
