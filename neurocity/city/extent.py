"""How far a model of voxels goes, and how fine it is."""

import numpy as np
import numpy.typing as npt

from neurocity.city.manifest import Box
from neurocity.city.octree import voxel_places
from neurocity.kernels.scene import SceneData


def deepest_level(data: SceneData) -> int:
    """The level of a model's smallest voxels; 0 without voxels."""
    level = voxel_places(data.tensors["children"], len(data.tensors["records"])).level
    return int(level.max()) if len(level) else 0


def voxel_side(data: SceneData) -> float:
    """Edge of a model's smallest voxels, world units; of its root without voxels."""
    return float(data.settings["root_side"]) / 2 ** deepest_level(data)


def voxel_box(data: SceneData, kept: npt.NDArray[np.bool_] | None = None) -> Box:
    """The box around a model's voxels (with kept [N] that are true), world units; its root without any."""
    level, cell = voxel_places(data.tensors["children"], len(data.tensors["records"]))
    if kept is not None:
        level, cell = level[kept], cell[kept]
    low, high = np.zeros(3), np.ones(3)
    if len(level):
        size = 0.5 ** level[:, None]
        low, high = (cell * size).min(0), ((cell + 1) * size).max(0)
    root, side = data.tensors["root_low"].astype(np.float64), float(data.settings["root_side"])
    x0, y0, z0 = (root + side * low).tolist()
    x1, y1, z1 = (root + side * high).tolist()
    return (x0, y0, z0, x1, y1, z1)
