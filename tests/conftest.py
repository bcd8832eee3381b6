"""What all tests share: data sets that may be absent, the gpu marker, fixed seeds."""

import fcntl
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import toy_kernels

# Workers that run at the same time share the cores.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

toy_kernels.register()

pytest_plugins = ["fixtures_export", "fixtures_stages", "fixtures_training"]

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("NEUROCITY_DATA") or REPOSITORY.parent / "shared" / "data")

# How long an example takes says more of the machine than of the code. Where changes are judged, the same
# examples are tried every time.
hypothesis.settings.register_profile("neurocity", deadline=None, derandomize="CI" in os.environ)
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one at the end.

    Tests marked `gpu` are skipped without a CUDA device.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not needs_gpu:
        return
    import torch  # noqa: PLC0415, only where a test needs it

    if not torch.cuda.is_available():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
