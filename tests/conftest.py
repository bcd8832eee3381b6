"""What all tests share: data sets that may be absent, the gpu marker, fixed seeds."""

import fcntl
import os
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
import toy_kernels
from xdist.scheduler import LoadFileScheduling

from neurocity.families import FAMILIES
from neurocity.resources import available_processors

# Workers that run at the same time share the cores.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

# Shells let jobs in the background ignore Ctrl-C, and all that these start; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Kernels for CUDA devices are interpreted where there is none.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

toy_kernels.register()

LONGEST = (
    "test_images.py",
    "test_export_capabilities.py",
    "test_readme.py",
    "test_every_format.py",
    "test_export_kernel_graph.py",
    "test_every_family.py",
    "test_training_guide.py",
)
"""Files that take a minute and more, the longest first."""
BY_FAMILY = ("test_export_capabilities.py",)
"""Files whose tests of different families share nothing."""

pytest_plugins = [
    "fixtures_browser",
    "fixtures_city",
    "fixtures_export",
    "fixtures_stages",
    "fixtures_town",
    "fixtures_training",
    "fixtures_viewer",
    "fixtures_web",
]

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("NEUROCITY_DATA") or REPOSITORY.parent / "shared" / "data")

# How long an example takes, to be drawn too, says more of the machine than of the code. Where changes are
# judged, the same examples are tried every time.
hypothesis.settings.register_profile(
    "neurocity",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("neurocity")


@pytest.fixture(scope="session")
def lego_200() -> Path:
    """The lego scene of NeRF's synthetic data set at 200x200 pixels; skips where it is not at hand."""
    return _data_set("lego_200")


@pytest.fixture(scope="session")
def lego_400() -> Path:
    """The lego scene of NeRF's synthetic data set at 400x400 pixels; skips where it is not at hand."""
    return _data_set("lego_400")


@pytest.fixture(scope="session")
def toy_200() -> Path:
    """A real unbounded capture at 200x200 pixels; skips where it is not at hand."""
    return _data_set("toy_200")


def _data_set(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the data set {folder} is absent; NEUROCITY_DATA names another parent folder")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`made_once(name, make)`: the folder that `make` fills in one process of the run, to be read by all.

    Where it fails, the next process that asks tries again.
    """
    folder = tmp_path_factory.getbasetemp()
    common = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "made_once"
    common.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = common / name, common / f"{name}.whole"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(autouse=True)
def _same_chance_in_every_run() -> None:
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests of gateways wait most of their time."""
    return available_processors() + 1


class InParts(LoadFileScheduling):
    """A process gets whole files, so that what a file shares is made once, and the longest in parts."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        found = re.search(rf"\[({'|'.join(FAMILIES)})-", test)
        return f"{file} {found[1]}" if file.endswith(BY_FAMILY) and found else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InParts | None:
    return InParts(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, then those with slow tests or a browser: at the end all are short.

    Tests marked `gpu` are skipped without a CUDA device.
    """
    dear = {
        item.path
        for item in items
        if item.get_closest_marker("slow") or "chromium" in getattr(item, "fixturenames", ())
    }
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.name, len(LONGEST)), item.path not in dear))
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not needs_gpu:
        return
    import torch  # noqa: PLC0415, only where a test needs it

    if not torch.cuda.is_available():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
