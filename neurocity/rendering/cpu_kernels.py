"""Where the compiled CPU kernels may stand in for their PyTorch twins, and how they use the cores.

Kernels are numba functions that release the GIL; threads of one small pool call them on parts of the work.
A graph that is being traced, scripted or exported always takes the PyTorch twin.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

_ALLOWED = ContextVar("allowed", default=True)


def kernels_apply(tensor: Tensor) -> bool:
    """True when `tensor` lives on the CPU and is being computed with now, not recorded into a graph."""
    recorded = torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling()
    return tensor.device.type == "cpu" and not recorded and _ALLOWED.get()


@contextmanager
def without_kernels() -> Iterator[None]:
    """Inside, this thread computes with the PyTorch twins, as a recorded graph would."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


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
    """[0, count) in equal parts of at least `smallest`, several a thread so that uneven parts even out."""
    return _equal_parts(count, min(4 * torch.get_num_threads(), count // smallest))


def thread_shares(count: int) -> list[tuple[int, int]]:
    """[0, count) in equal parts, one a thread, for work whose results need a buffer for each part."""
    return _equal_parts(count, min(torch.get_num_threads(), count))


def _equal_parts(count: int, number: int) -> list[tuple[int, int]]:
    edges = [count * i // max(1, number) for i in range(max(1, number) + 1)]
    return list(pairwise(edges))
