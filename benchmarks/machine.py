"""The facts of the machine and the packages that a figure belongs to."""

import os
from importlib.metadata import PackageNotFoundError, version

import torch

from export.speed.profile import processor


def facts() -> str:
    """One line: processor, usable cores, threads of torch, package versions, GPU if there is one."""
    packages = [f"{name} {installed}" for name in ("torch", "onnxruntime") if (installed := _version(name))]
    parts = [
        processor(),
        f"{len(os.sched_getaffinity(0))} cores",
        f"{torch.get_num_threads()} threads",
        *packages,
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
