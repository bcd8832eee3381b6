"""The facts of the machine and the packages that a figure belongs to."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


def peak_memory(pid: int) -> int:
    """High-water mark of a process's resident memory in bytes, as Linux counts it; 0 once it has ended."""
    if not Path("/proc/self/status").exists():
        raise SystemExit("this system does not report the peak memory of a process")
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
