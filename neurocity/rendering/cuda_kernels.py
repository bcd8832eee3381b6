"""Where the kernels of `neurocity.cuda_kernels` stand in for their PyTorch definitions.

On CUDA devices, in eval mode, where no gradient is recorded; in graphs too, when these are recorded for a
compiler, which takes the kernels along. Training and all other recordings take the definition, and so do
numbers that are not float32, and a process that lacks what kernels are compiled by: the package `triton`,
which PyTorch for CUDA brings on Linux, and a C compiler, by which Triton makes its driver. The log says once
what is missing. `cpu_kernels.without_kernels` turns the kernels off in a thread, the environment variable
NEUROCITY_CUDA_KERNELS=off in a process.
"""

import logging
import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from neurocity.errors import ConfigError
from neurocity.rendering.cpu_kernels import kernels_allowed
from neurocity.rendering.graph_target import recorded_for

VARIABLE: Final = "NEUROCITY_CUDA_KERNELS"
_CHOICES: Final = ("on", "off")
_COMPILERS: Final = ("gcc", "clang")
"""That Triton looks for where CC names none."""
_log = logging.getLogger(__name__)
DEVICE = "cuda"  # tests record graphs of another, as there is no GPU


def cuda_kernels_apply(tensor: Tensor, training: bool) -> bool:
    """True when a kernel is to compute what a module makes of `tensor`. Raises ConfigError.

    training: whether the module is in training mode. Modules ask for the types of their other tensors.
    """
    if torch.jit.is_scripting():
        return False
    else:
        if training or torch.is_grad_enabled() or tensor.device.type != DEVICE or torch.jit.is_tracing():
            return False
        if tensor.dtype != torch.float32:
            return False
        recorded = torch.compiler.is_compiling() and not recorded_for("compiler")
        return not recorded and kernels_allowed() and _wanted()


def device_of(tensor: Tensor) -> AbstractContextManager[None]:
    """Inside, kernels start on the device of `tensor`. Recorded graphs see to that themselves."""
    return nullcontext() if torch.compiler.is_compiling() else torch.cuda.device_of(tensor)


@cache
def _wanted() -> bool:
    chosen = os.environ.get(VARIABLE, "on")
    if chosen not in _CHOICES:
        raise ConfigError(f"{VARIABLE}: got {chosen!r}, expected one of {', '.join(_CHOICES)}")
    if chosen == "off":
        return False
    if lacking := _lacking():
        _log.warning(
            "PyTorch's operators compute on CUDA, as the kernels need %s; with %s=off nothing is said",
            lacking,
            VARIABLE,
        )
    return not lacking


def _lacking() -> str:
    """What kernels need that is not there, in words; empty where they can be compiled."""
    if find_spec("triton") is None:
        return "the package triton"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if interpreted or os.environ.get("CC") or any(map(shutil.which, _COMPILERS)):
        return ""
    return f"a C compiler: {' or '.join(_COMPILERS)}, or the one that CC names"
