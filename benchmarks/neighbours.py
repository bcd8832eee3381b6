"""Busy neighbours: processes that keep every core at work while something else is measured."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Inside, one process for each usable core computes without end."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_compute, daemon=True) for _ in os.sched_getaffinity(0)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _compute() -> None:
    number = 1
    while True:
        number = number * 1_103_515_245 % 2_147_483_647
