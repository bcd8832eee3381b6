"""What will run the graph that is being recorded, where that decides how the graph is best written."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_FUSING = ContextVar("fusing", default=False)
_KERNELS = ContextVar("kernels", default=False)
_TENSORRT = ContextVar("tensorrt", default=False)


@contextmanager
def recording_for_compiler(native_kernels: bool) -> Iterator[None]:
    """Inside, `torch.export` records for a compiler that fuses operators, and not for a runtime of nodes.

    native_kernels: whether the graph may hold the operators of `native_kernel`.
    """
    tokens = _FUSING.set(True), _KERNELS.set(native_kernels)
    try:
        yield
    finally:
        _FUSING.reset(tokens[0])
        _KERNELS.reset(tokens[1])


@contextmanager
def recording_for_tensorrt() -> Iterator[None]:
    """Inside, `torch.export` records for TensorRT, and not for a runtime that runs node after node."""
    token = _TENSORRT.set(True)
    try:
        yield
    finally:
        _TENSORRT.reset(token)


def recorded_as_nodes() -> bool:
    """Whether a graph is being exported of which each operator will be run, and its result stored, alone."""
    return torch.compiler.is_exporting() and not _FUSING.get() and not _TENSORRT.get()


def recorded_for_tensorrt() -> bool:
    """Whether a graph is being exported for TensorRT, which knows fewer operators and fuses what it can."""
    return torch.compiler.is_exporting() and _TENSORRT.get()


def recorded_for_compiler() -> bool:
    """Whether a graph is being exported for a compiler; see `recording_for_compiler`."""
    return torch.compiler.is_exporting() and _FUSING.get()


def recorded_for_kernels() -> bool:
    """Whether a graph is being exported that may hold the operators of `native_kernel`."""
    return torch.compiler.is_exporting() and _KERNELS.get()


def stored(values: Tensor) -> Tensor:
    """`values`, which compilers compute once and keep, instead of again in each kernel that reads them."""
    if torch.jit.is_scripting():
        return values
    elif recorded_for_compiler():
        return values.as_strided(values.shape, values.stride())
    return values


def gathered(values: Tensor, index: Tensor) -> Tensor:
    """The entries `index` [K] of the last axis of `values`, stored; for indices that are right whatever rays
    are: a compiler leaves their check out.
    """
    if torch.jit.is_scripting():
        return values.index_select(-1, index)
    elif recorded_for_compiler():
        places = [None] * (values.dim() - 1) + [index]
        return stored(torch.ops.aten._unsafe_index(values, places))
    return values.index_select(-1, index)
