"""The octree of sparse voxels: flat leaves, the table that rays descend by, and shared grid points.

Notation
    N voxels (leaves), M grid points, L the level of a voxel: 0 is the root, at L cells have side 2^-L
    cell [N, 3]    integer coordinates (x, y, z) of a voxel among the 2^L cells of its level
    octant, corner number 4 x + 2 y + z of a child in its parent, or of a corner of a voxel, with bits x, y, z
    path           the octants from the root down to a cell as one number, three bits each (Morton order)

The root is the unit cube. Every coordinate that is computed here is exact in float32.
"""

from itertools import accumulate
from typing import Final, NamedTuple

import torch
from torch import Tensor

from neurocity.errors import ConfigError
from neurocity.svraster.config import MAX_LEVELS

EMPTY: Final = -1
"""Child of a node that holds nothing; voxel v is FIRST_VOXEL - v, and numbers from 0 on are nodes."""
FIRST_VOXEL: Final = -2
_SHIFTS = (32, 16, 8, 4, 2)
_MASKS = (
    *(0x1FFFFF, 0x1F00000000FFFF, 0x1F0000FF0000FF),
    *(0x100F00F00F00F00F, 0x10C30C30C30C30C3, 0x1249249249249249),
)
"""Where the lower 21 bits of a number are after each shift that spreads them."""


class Octree(NamedTuple):
    """Inner nodes of the octree; node 0 is the root.

    children [nodes, 8] int32: by octant, the number of a node, EMPTY, or FIRST_VOXEL - v for voxel v.
    centers [3, nodes]: where a node's three middle planes are, in the unit cube.
    """

    children: Tensor
    centers: Tensor


def paths(cell: Tensor) -> Tensor:
    """Path [N] int64 of cells [N, 3] with coordinates below 2^21, x the highest bit of an octant."""
    x, y, z = (_spread(plane) for plane in cell.long().unbind(-1))
    return 4 * x + 2 * y + z


def cells_of(path: Tensor) -> Tensor:
    """Inverse of `paths`: [N] int64 -> [N, 3] int64."""
    return torch.stack([_gather(path >> shift) for shift in (2, 1, 0)], dim=-1)


def build(level: Tensor, cell: Tensor) -> Octree:
    """The octree over voxels of levels [N] >= 1 and cells [N, 3], in whatever order.

    Raises ConfigError if a cell is outside its level, or two voxels overlap.
    """
    if len(level) and not (int(level.min()) >= 1 and int(level.max()) <= MAX_LEVELS):
        raise ConfigError(
            f"voxel levels: got {int(level.min())} to {int(level.max())}, expected 1 to {MAX_LEVELS}"
        )
    if bool((cell < 0).any()) or bool((cell >> level[:, None] != 0).any()):
        raise ConfigError("voxel cells: got coordinates outside the octree, expected 0 to 2^level - 1")
    path = paths(cell)
    deepest = int(level.max()) if len(level) else 0
    root = torch.zeros(1, dtype=torch.int64, device=level.device)
    inner = [root] * max(deepest, 1)
    below = root[:0]
    members: list[tuple[Tensor, Tensor]] = []
    for depth in range(deepest, 0, -1):
        voxels = (level == depth).nonzero().flatten()
        present = torch.cat([path[voxels], below])
        members.append((voxels, present))
        inner[depth - 1] = below = torch.unique(present >> 3)
        if len(torch.unique(present)) != len(present):
            raise ConfigError(f"voxels: some at level {depth} overlap others")
    firsts = list(accumulate(map(len, inner), initial=0))
    children = torch.full((firsts[-1], 8), EMPTY, dtype=torch.int32, device=level.device)
    for depth, (voxels, present) in zip(range(deepest, 0, -1), members, strict=True):
        parent = firsts[depth - 1] + torch.searchsorted(inner[depth - 1], present >> 3)
        nodes = firsts[depth] + torch.arange(len(present) - len(voxels), device=level.device)
        children[parent, present & 7] = torch.cat([FIRST_VOXEL - voxels, nodes]).int()
    centers = [(cells_of(nodes).float() + 0.5) / 2**depth for depth, nodes in enumerate(inner)]
    return Octree(children, torch.cat(centers).t().contiguous())


def grid_points(level: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Shared corners of voxels [N]: voxel_points [N, 8] int32 by corner, and points [M, 3] int64.

    Points are in units of 2^-MAX_LEVELS. Corners at the same place are the same point, whatever the sizes of
    their voxels.
    """
    ends = torch.stack([cell, cell + 1], dim=-1).long() << (MAX_LEVELS - level)[:, None, None]
    x, y, z = _spread(ends).unbind(1)
    corners = 4 * x[:, :, None, None] + 2 * y[:, None, :, None] + z[:, None, None, :]
    points, voxel_points = torch.unique(corners, return_inverse=True)
    return voxel_points.view(-1, 8).int(), cells_of(points)


def dense_cells(resolution: int) -> Tensor:
    """All cells [resolution^3, 3] of a cube whose resolution is a power of two, depth first."""
    return cells_of(torch.arange(resolution**3))


def _spread(values: Tensor) -> Tensor:
    """Put two zero bits before each of the lower 21 bits."""
    for shift, mask in zip(_SHIFTS, _MASKS[1:], strict=True):
        values = (values | values << shift) & mask
    return values


def _gather(values: Tensor) -> Tensor:
    """Keep every third bit: inverse of `_spread`."""
    values = values & _MASKS[-1]
    for shift, mask in zip(_SHIFTS[::-1], _MASKS[-2::-1], strict=True):
        values = (values | values >> shift) & mask
    return values
