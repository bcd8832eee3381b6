"""Opens a `model.pt` of the SVRaster that NVlabs published as a checkpoint of ours.

Rays meet the same voxels, activation, midpoints and harmonics in both programs. Two differences are carried
over exactly: there, density is 100 a world unit, whatever the size of the scene, and colours have no upper
limit. The others remain. There, an interval of opacity below 1e-5 counts as clear and none has more than
0.99999, and a ray ends behind the voxel in which less than 1e-4 of its light is left; with colours in [0, 1]
that is a few 1e-4 of a colour. And around the eye, voxels whose centre is nearer than 0.02 are not drawn
there, while others reach behind it; here nothing nearer than 0.02 is seen.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from neurocity.checkpoint import Checkpoint
from neurocity.contract import SceneInfo, file_sha256
from neurocity.data.scene import Bounds, Scene
from neurocity.errors import CheckpointError, ConfigError, DataError, MissingDependencyError
from neurocity.lenses import PINHOLE
from neurocity.svraster.config import MAX_LEVELS, SVRasterConfig
from neurocity.svraster.core import SVRaster
from neurocity.svraster.nvlabs_model_file import ModelFile, read_model_file

DEPTH_PER_UNIT: Final = 100.0
"""Optical depth of a world unit at activated density 1, in their renderer."""
NEAR: Final = 0.02
MAX_VIEWS: Final = 10
"""Held-out views that are taken of a dataset, in even steps: the parity gate renders each pixel of them."""

_WHITE, _BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def load_nvlabs_checkpoint(path: Path, scene: Scene) -> Checkpoint:
    """The model of a file that passes `is_model_file`, with held-out views and fingerprint of its dataset.

    That program trains in the dataset's own coordinates: `scene` has to be loaded with the origin zero.
    Where the `config.yaml` of their run is still above the file, samples per voxel and background are read
    there; without it they are one sample, and white for a scene without surroundings, else black.
    Raises CheckpointError when the file is truncated or not of its layout, DataError when the dataset has no
    held-out view, and MissingDependencyError when there is a `config.yaml` and nothing to read it with.
    """
    assert not any(scene.origin), "a model of another program is in the dataset's own coordinates"
    file = read_model_file(path)
    settings = _run_settings(path)
    try:
        model = _model(file, settings.get("n_samp_per_vox", 1))
    except ConfigError as error:
        raise CheckpointError(f"{path}: is not an SVRaster model that can be read: {error}") from None
    if not scene.held_out:
        raise DataError(
            f"{scene.root}: has no held-out views, on which artefacts are compared with the model"
        )
    has_surroundings = file.extent > file.inside
    white = settings.get("white_background", not settings and not has_surroundings)
    count = min(len(scene.held_out), MAX_VIEWS)
    frames = [scene.held_out[index * len(scene.held_out) // count] for index in range(count)]
    views = [replace(frame.camera, lens=PINHOLE).to_view(frame.name) for frame in frames]
    step = re.match(r"iter(\d+)_", path.name)
    return Checkpoint(
        family="svraster",
        model=model,
        model_config=model.config,
        info=SceneInfo(
            bounds=_cube(file.center, file.inside),
            up=scene.up,
            background=_WHITE if white else _BLACK,
            views=tuple(views),
            dataset_fingerprint=scene.fingerprint(),
        ),
        step=int(step[1]) if step else 0,
        sha256=file_sha256(path),
    )


def _model(file: ModelFile, samples_per_voxel: Any) -> SVRaster:
    """Raises ConfigError when the voxels overlap or a setting is out of range."""
    model = SVRaster(
        SVRasterConfig(
            scene_bounds=_cube(file.center, file.extent),
            max_octree_levels=MAX_LEVELS,
            base_resolution=2,
            sh_degree=math.isqrt(file.shs.shape[1] + 1) - 1,
            samples_per_voxel=samples_per_voxel,
            near=NEAR,
            depth_per_side=DEPTH_PER_UNIT * file.extent,
            brightest=_brightest(file),
        )
    )
    model.set_voxels(file.level, file.cell)
    with torch.no_grad():
        model.density.copy_(file.density)
        model.sh0.copy_(file.sh0)
        model.shs.copy_(file.shs)
    return model.eval().requires_grad_(False)


def _brightest(file: ModelFile) -> float:
    """A limit that no colour of the model reaches: the squares of a band l sum to (2 l + 1) / (4 pi)."""
    most = 0.5 + file.sh0.abs() * math.sqrt(1.0 / (4.0 * math.pi))
    for band in range(1, math.isqrt(file.shs.shape[1] + 1)):
        coefficients = file.shs[:, band**2 - 1 : (band + 1) ** 2 - 1]
        most = most + coefficients.norm(dim=1) * math.sqrt((2 * band + 1) / (4.0 * math.pi))
    return max(1.0, 1.01 * float(most.max()))


def _cube(center: tuple[float, float, float], side: float) -> Bounds:
    x, y, z = center
    half = side / 2
    return (x - half, y - half, z - half, x + half, y + half, z + half)


def _run_settings(path: Path) -> dict[str, Any]:
    """The section `model` of the run's `config.yaml`, two folders above the file; empty without one."""
    source = path.absolute().parent.parent / "config.yaml"
    if path.absolute().parent.name != "checkpoints" or not source.is_file():
        return {}
    try:
        import yaml  # noqa: PLC0415, only a run of theirs has such a file here
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{source}: reading it needs the package 'pyyaml'; pip install 'neurocity[train]' brings it"
        ) from error
    try:
        settings = yaml.safe_load(source.read_text())["model"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{source}: cannot be read as the settings of an SVRaster run: {error}"
        ) from None
    if not isinstance(settings, dict):
        raise CheckpointError(f"{source}: `model` is {settings!r}, expected settings by name")
    return settings
