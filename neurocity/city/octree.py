"""The table that rays descend an octree by (`kernels.voxels`), read back and made smaller, with numpy.

Notation
    N voxels; children [nodes, 8] int32 by octant 4 x + 2 y + z: a node, -1 for nothing, -2 - v for voxel v
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

EMPTY: Final = -1
FIRST_VOXEL: Final = -2
_OCTANTS: Final = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])

Children = npt.NDArray[np.int32]


class VoxelPlaces(NamedTuple):
    """Where voxels are: level [N], and cell [N, 3] among the 2^level of it along each axis."""

    level: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int64]


def voxel_places(children: Children, voxels: int) -> VoxelPlaces:
    """The places of an octree's voxels."""
    level, cell = np.zeros(voxels, np.int64), np.zeros((voxels, 3), np.int64)
    nodes, places, depth = np.zeros(1, np.int64), np.zeros((1, 3), np.int64), 0
    while len(nodes):
        depth += 1
        below = children[nodes].reshape(-1)
        inside = (2 * places[:, None] + _OCTANTS).reshape(-1, 3)
        is_voxel = below <= FIRST_VOXEL
        index = FIRST_VOXEL - below[is_voxel]
        level[index], cell[index] = depth, inside[is_voxel]
        nodes, places = below[below >= 0].astype(np.int64), inside[below >= 0]
    return VoxelPlaces(level, cell)


def pruned(children: Children, kept: npt.NDArray[np.bool_]) -> Children:
    """The octree with the voxels alone for which kept [N] is true; they keep their numbers.

    Nodes on the way to them stay, so that rays meet them at the same depths.
    """
    table = children.copy()
    is_voxel = table <= FIRST_VOXEL
    table[is_voxel] = np.where(kept[FIRST_VOXEL - table[is_voxel]], table[is_voxel], EMPTY)
    for nodes in reversed(node_levels(children)):
        below = table[nodes]
        bare = (below >= 0) & (table[np.maximum(below, 0)] == EMPTY).all(-1)
        table[nodes] = np.where(bare, EMPTY, below)
    used = np.zeros(len(table), bool)
    used[0] = True
    used[table[table >= 0]] = True
    # A node that is bare itself points to nothing, and what points to it is gone.
    number = np.cumsum(used) - 1
    table = table[used]
    return np.where(table >= 0, number[np.maximum(table, 0)], table).astype(np.int32)


def renumbered(children: Children, kept: npt.NDArray[np.bool_]) -> Children:
    """A pruned octree whose voxels are numbered without gaps, in their order."""
    number = np.cumsum(kept) - 1
    voxel = FIRST_VOXEL - np.minimum(children, FIRST_VOXEL)
    return np.where(children <= FIRST_VOXEL, FIRST_VOXEL - number[voxel], children).astype(np.int32)


def node_levels(children: Children) -> list[npt.NDArray[np.int64]]:
    """The nodes of each level, from the root down."""
    found = [np.zeros(1, np.int64)]
    while len(found[-1]):
        below = children[found[-1]]
        found.append(below[below >= 0].astype(np.int64))
    return found[:-1]
