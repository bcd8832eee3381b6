"""Where the kernels of `neurocity.kernels` may stand in for their PyTorch twins.

A graph that is being traced, scripted or exported always takes the PyTorch twin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

_ALLOWED = ContextVar("allowed", default=True)


def kernels_apply(tensor: Tensor) -> bool:
    """True when `tensor` lives on the CPU and is being computed with now, not recorded into a graph."""
    if torch.jit.is_scripting():
        return False
    else:
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
        return tensor.device.type == "cpu" and not recorded and kernels_allowed()


@torch.jit.unused
def kernels_allowed() -> bool:
    """Whether this thread is outside of `without_kernels`."""
    return _ALLOWED.get()


@contextmanager
def without_kernels() -> Iterator[None]:
    """Inside, this thread computes with the PyTorch twins, as a recorded graph would."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """CPU tensors as kernels take them: contiguous. Those that are so already share their memory."""
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
