"""Processors and memory that this process may use: a container's share, and not what the machine has.

Control groups say it, in either of their versions (Linux, Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1/). A limit of a group holds for all groups below it. Elsewhere the machine's own numbers hold.
"""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
"""Lines of `number:controllers:path`; the number 0, with no controllers, is of version 2."""


def available_processors() -> int:
    """Processors that this process may use at once: those it may run on, and no more than its quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(allowed, _quota()))


def available_memory(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> int:
    """Bytes that this process may use: the least limit of its control groups, at most what is built in."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in groups("", mount, membership):
        limits += _numbers(folder / "memory.max")[:1]
    for folder in groups("memory", mount, membership):
        limits += _numbers(folder / "memory.limit_in_bytes")
    return min(limits)


def processor_quota(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> float:
    """Processor seconds a second that this process may use; infinite without a quota."""
    quotas = [_numbers(folder / "cpu.max") for folder in groups("", mount, membership)]
    quotas += [
        _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        for folder in groups("cpu", mount, membership)
    ]
    set_ones = [pair for pair in quotas if len(pair) == 2 and min(pair) > 0]  # -1 stands for none
    return min((quota / period for quota, period in set_ones), default=math.inf)


def groups(controller: str, mount: Path, membership: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, from its own up to the mounted root.

    controller: of version 1, or empty for version 2. In a container the path may be one of the host, of which
    the root alone is there.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root = mount / controller
            inside = root / path.lstrip("/")
            yield inside
            yield from (folder for folder in inside.parents if folder.is_relative_to(root))


def _numbers(file: Path) -> list[int]:
    """The whole numbers of a control file; none where it says `max`, or is not there."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


@cache
def _quota() -> float:
    return processor_quota()
