"""A town in blocks that tests of cities share."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from test_city_cut import written
from voxel_town import SIDE, town

from neurocity.cli import main
from neurocity.kernels.scene import SceneData
from neurocity.svraster.core import SVRaster
from neurocity.svraster.native import scene_data


@pytest.fixture(scope="session")
def town_model() -> SVRaster:
    return town()


@pytest.fixture(scope="session")
def town_whole(town_model: SVRaster) -> SceneData:
    """The town undivided."""
    return scene_data(town_model, np.float16)


@pytest.fixture(scope="session")
def town_folder(tmp_path_factory: pytest.TempPathFactory, town_model: SVRaster) -> Path:
    """The town in four by four blocks, which nobody changes."""
    root = tmp_path_factory.mktemp("town")
    source = written(root / "repository", town_model, bounds=(0.0, 0.0, 0.0, SIDE, SIDE, 0.5 * SIDE))
    assert main(["city", "cut", str(source), "--out", str(root / "town"), "--block-size", str(SIDE / 4)]) == 0
    return root / "town"


@pytest.fixture
def town_copy(town_folder: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(town_folder, tmp_path / "town"))
