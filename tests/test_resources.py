"""What a process may use, from control groups as they are written in either version."""

import math
import os

import pytest

from neurocity.resources import available_memory, available_processors, groups, processor_quota

EVERYTHING = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def system(tmp_path):
    """Writes files of a mounted control group system; gives the arguments that make it be read."""

    def write(membership, **files):
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (tmp_path / "membership").write_text(membership)
        return tmp_path / "cgroup", tmp_path / "membership"

    return write


def test_version_2(system):
    files = {
        "a/b/cpu.max": "max 100000\n",
        "a/cpu.max": "150000 100000\n",
        "a/b/memory.max": "1073741824\n",
        "a/memory.max": "536870912\n",
    }
    arguments = system("0::/a/b\n", **files)
    assert processor_quota(*arguments) == 1.5
    assert available_memory(*arguments) == 2**29


def test_version_1(system):
    files = {
        "cpu/x/cpu.cfs_quota_us": "50000\n",
        "cpu/x/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/y/memory.limit_in_bytes": "1000000000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    arguments = system("4:cpu,cpuacct:/x\n3:memory:/y\n1:name=systemd:/\n0::/\n", **files)
    assert processor_quota(*arguments) == 0.5
    assert available_memory(*arguments) == 10**9


def test_in_a_container_the_path_may_be_the_hosts(system):
    arguments = system("3:memory:/docker/123\n", **{"memory/memory.limit_in_bytes": "123456789\n"})
    assert available_memory(*arguments) == 123456789


@pytest.mark.parametrize("membership", ["", "0::/\n", "3:memory:/a\n2:cpu:/a\n0::/a\n"])
def test_without_limits_the_machine_is_the_limit(system, membership):
    files = {"cpu.max": "max 100000", "memory.max": "max", "cpu/a/cpu.cfs_quota_us": "-1"}
    arguments = system(membership, **files)
    assert processor_quota(*arguments) == math.inf
    assert available_memory(*arguments) == EVERYTHING


def test_elsewhere_there_are_no_groups(tmp_path):
    assert available_memory(tmp_path, tmp_path / "none") == EVERYTHING
    assert list(groups("cpu", tmp_path, tmp_path / "none")) == []


@pytest.mark.parametrize(("quota", "expected"), [(math.inf, None), (0.2, 1), (1.0, 1), (1.2, 2)])
def test_threads_are_as_many_as_may_run(monkeypatch, quota, expected):
    monkeypatch.setattr("neurocity.resources._quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert available_processors() == (expected or 8)
