"""How many rays or points a program of a kernel takes, and what it asks of all of them."""

from typing import Final

import triton
import triton.language as tl

WARP: Final = 32
"""Threads of a GPU that go on together: a program of one warp asks all of them without a barrier."""
INTERPRETED: Final = 1024
"""Rays or points of a program that is interpreted, where each step is a call of NumPy."""


def block(compiled: int = WARP) -> int:
    """`compiled` on a GPU; more where kernels are interpreted (TRITON_INTERPRET=1)."""
    return INTERPRETED if triton.knobs.runtime.interpret else compiled


@triton.jit
def filled(number, like):
    """A number in the shape of a tensor."""
    return tl.full(like.shape, number, tl.float32)


@triton.jit
def any_of(mask):
    """Whether any element of a mask is true."""
    return tl.max(mask.to(tl.int32), 0) > 0
