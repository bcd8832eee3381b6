"""What will run the graph that is being recorded, where that decides how the graph is best written."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

Target = Literal["nodes", "tensorrt", "compiler", "kernels"]
_TARGET: ContextVar[Target] = ContextVar("target", default="nodes")


@contextmanager
def _recording_for(target: Target) -> Iterator[None]:
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def recording_for_compiler(native_kernels: bool) -> AbstractContextManager[None]:
    """Inside, `torch.export` records for a compiler that fuses operators, and not for a runtime of nodes.

    native_kernels: whether the graph may hold the operators of `native_kernel`.
    """
    return _recording_for("kernels" if native_kernels else "compiler")


def recording_for_tensorrt() -> AbstractContextManager[None]:
    """Inside, `torch.export` records for TensorRT, and not for a runtime that runs node after node."""
    return _recording_for("tensorrt")


def recorded_as_nodes() -> bool:
    """Whether a graph is being exported for a runtime that runs one operator after another."""
    return torch.compiler.is_exporting() and _TARGET.get() == "nodes"


def recorded_for_tensorrt() -> bool:
    """Whether a graph is being exported for TensorRT, which knows fewer operators and fuses what it can."""
    return torch.compiler.is_exporting() and _TARGET.get() == "tensorrt"


def recorded_for_compiler() -> bool:
    """Whether a graph is being exported for a compiler; see `recording_for_compiler`."""
    return torch.compiler.is_exporting() and _TARGET.get() in ("compiler", "kernels")


def recorded_for_kernels() -> bool:
    """Whether a graph is being exported that may hold the operators of `native_kernel`."""
    return torch.compiler.is_exporting() and _TARGET.get() == "kernels"


def materialize(values: Tensor) -> Tensor:
    """`values`, stored. A compiler would compute them again in each kernel that reads them."""
    if torch.jit.is_scripting():
        return values
    elif recorded_for_compiler():
        return values.as_strided(values.shape, values.stride())
    return values


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """The entries `index` [K] of the last axis of `values`, stored.

    A compiler does not check these indices: they must be in range whatever rays are.
    """
    if torch.jit.is_scripting():
        return values.index_select(-1, index)
    elif recorded_for_compiler():
        places = [None] * (values.dim() - 1) + [index]
        return materialize(torch.ops.aten._unsafe_index(values, places))
    return values.index_select(-1, index)
