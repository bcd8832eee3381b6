"""Where the compiled CPU kernels may stand in for their PyTorch twins, and how they use the cores.

Kernels are numba functions that release the GIL; threads of one small pool call them on parts of the work.
A graph that is being traced, scripted or exported always takes the PyTorch twin.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from itertools import pairwise

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
        return tensor.device.type == "cpu" and not recorded and _ALLOWED.get()


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


def count_then_fill(
    walk: Callable[..., None], rays: int, room: Callable[[int], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """Packed items of rays, then their offsets, by a kernel that walks each ray twice: to count, and to fill.

    walk: takes whether to fill, arrays, and the first and last ray. Its last array is offsets [rays + 1]; it
    counts the items of ray r in offsets[r + 1], and fills the others from offsets[r] on.
    room: makes the tensors for a number of items.
    """
    offsets = torch.zeros(rays + 1, dtype=torch.int64)
    parts = split(rays, smallest=64)
    run_parallel(partial(walk, False, arrays(*room(0), offsets)), parts)
    torch.cumsum(offsets, 0, out=offsets)
    items = (*room(int(offsets[-1])), offsets)
    run_parallel(partial(walk, True, arrays(*items)), parts)
    return items


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="neurocity-kernel")


def run_parallel(task: Callable[..., None], parts: Sequence[tuple[int, int]]) -> None:
    """Call `task(begin, end)` for all parts, on as many threads as torch uses for its own operators."""
    threads = torch.get_num_threads()
    if threads == 1 or len(parts) == 1:
        for begin, end in parts:
            task(begin, end)
        return
    futures = [_pool(threads).submit(task, begin, end) for begin, end in parts]
    for future in futures:
        future.result()


def split(count: int, smallest: int) -> list[tuple[int, int]]:
    """[0, count) in equal parts of at least `smallest`: several a thread, which evens out uneven work."""
    return _equal_parts(count, min(4 * torch.get_num_threads(), count // smallest))


def thread_shares(count: int) -> list[tuple[int, int]]:
    """[0, count) in equal parts, one a thread: for work that needs a buffer for each part."""
    return _equal_parts(count, min(torch.get_num_threads(), count))


def _equal_parts(count: int, number: int) -> list[tuple[int, int]]:
    edges = [count * i // max(1, number) for i in range(max(1, number) + 1)]
    return list(pairwise(edges))
