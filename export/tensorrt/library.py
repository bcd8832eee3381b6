"""The two libraries that build engines; they share their interface, and one code here builds with either."""

import ctypes
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from export.format import EngineName
from neurocity.errors import MissingDependencyError

_INSTALL: dict[str, str] = {
    "tensorrt": "pip install tensorrt, or the NVIDIA container of the Triton release that will serve it, "
    "brings it; --engine tensorrt-rtx builds without a GPU",
    "tensorrt-rtx": "pip install 'neurocity[tensorrt-rtx]' brings it",
}


@dataclass(frozen=True, kw_only=True)
class EngineLibrary:
    """An imported library: its name on the command line, its Python module, and the module's version."""

    name: EngineName
    module: Any
    version: str


def load_library(name: EngineName) -> EngineLibrary:
    """The library of that name.

    Raises MissingDependencyError when it is not installed, or when it is `tensorrt`, which times kernels on
    the device that it builds for, and there is no CUDA device.
    """
    package = name.replace("-", "_")
    try:
        module = import_module(package)
    except ImportError as error:  # the package, or one of the libraries that it loads
        raise MissingDependencyError(
            f"engine {name!r} needs the package {package!r} ({error}); {_INSTALL[name]}"
        ) from error
    if name == "tensorrt" and not has_cuda_device():
        raise MissingDependencyError(
            "engine 'tensorrt' is built on the GPU that will run it, and there is no CUDA device here; "
            "--engine tensorrt-rtx builds without one, and `neurocity-export build-engine` on the machine "
            "with the GPU builds an engine from the shipped model.onnx"
        )
    return EngineLibrary(name=name, module=module, version=str(module.__version__))


def has_cuda_device() -> bool:
    """Whether the CUDA driver is there and finds a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
