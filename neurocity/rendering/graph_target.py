"""What will run the graph that is being recorded, where that decides how the graph is best written.

    nodes      a runtime that runs one operator after another and stores each result
    tensorrt   TensorRT, which knows fewer operators and fuses what it can
    compiler   a compiler that fuses operators

TorchScript is none of them: it takes the definition, and leaves out what it cannot express.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_TARGET: ContextVar[str] = ContextVar("target", default="nodes")


@contextmanager
def recording_for(target: str) -> Iterator[None]:
    """Inside, `torch.export` records for this target of the list above."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def recorded_for(target: str) -> bool:
    """Whether a graph is being exported for this target of the list above."""
    if torch.jit.is_scripting():
        return False
    else:
        return torch.compiler.is_exporting() and target == _TARGET.get()


def materialize(values: Tensor) -> Tensor:
    """`values`, stored. A compiler would compute them again in each kernel that reads them."""
    if recorded_for("compiler"):
        return values.as_strided(values.shape, values.stride())
    return values


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """The entries `index` [K] of the last axis of `values`, stored.

    A compiler does not check these indices: they must be in range whatever rays are.
    """
    if recorded_for("compiler"):
        return materialize(gather_unchecked(values, index))
    return values.index_select(-1, index)


@torch.jit.unused
def gather_unchecked(values: Tensor, index: Tensor) -> Tensor:
    """The entries `index` of the last axis of `values`, for compilers, which leave the check out."""
    return torch.ops.aten._unsafe_index(values, [None] * (values.dim() - 1) + [index])
