"""Which voxels a ray crosses, exactly and front to back, by descending the octree level by level.

Notation
    R rays, K intervals; an item is a piece [a, b] of a ray that lies in one node or voxel
    t = (p - o) i  where a ray meets the plane p of an axis: o its origin, i the inverse of its direction

In a round every item of a node is cut by the node's three middle planes into at most four pieces, each of
which lies in one child; empty children and pieces without length fall out, voxels stay as they are. The
values t depend on the ray and the plane alone, so that neighbours meet without a gap and without overlap, and
pieces stay in the order of the ray. A ray that runs inside a plane belongs to the side of larger coordinates.
No budget truncates a ray, and there is no loop over data in the graph.

The numbers -1 and -2 below are `octree.EMPTY` and `octree.FIRST_VOXEL`; TorchScript reads no globals.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

LARGEST_INVERSE: Final = 1e30
"""Inverse of direction components that are zero: planes are then met at once or never."""


class VoxelIntervals(NamedTuple):
    """Voxels that R rays cross, ray after ray, front to back.

    voxel [K] int64. near, far [K]: depths between which the ray is in the voxel, world units, near < far.
    ray_index [K] int64. offsets [R + 1] int64: first interval of each ray.
    """

    voxel: Tensor
    near: Tensor
    far: Tensor
    ray_index: Tensor
    offsets: Tensor


class Items(NamedTuple):
    """Pieces of rays, each in a node or a voxel: node as in `octree.Octree`, near and far in world units."""

    node: Tensor
    near: Tensor
    far: Tensor


def inverse_directions(directions: Tensor, largest: float = LARGEST_INVERSE) -> Tensor:
    """Inverses [3, R] of direction components, at most `largest` in magnitude."""
    small = directions.abs() * largest < 1.0
    return torch.where(small, largest, 1.0 / torch.where(small, 1.0, directions))


class Pieces(NamedTuple):
    """Pieces of R rays that lie in nodes or voxels, ray after ray, front to back.

    node [K] int64: as in `octree.Octree.children`. The other fields are as in `VoxelIntervals`.
    """

    node: Tensor
    near: Tensor
    far: Tensor
    ray_index: Tensor
    offsets: Tensor


def descend(
    origins: Tensor, inverse: Tensor, nearest: float, children: Tensor, centers: Tensor, rounds: int
) -> VoxelIntervals:
    """The definition. Rays [3, R] start at `origins` in the unit cube; t runs in world units.

    inverse [3, R]: world units per unit of the cube along an axis. nearest: where rays begin.
    children [nodes, 8], centers [3, nodes]: see `octree.Octree`. rounds: level of the smallest voxels.
    """
    return voxels_of(refine(enter(origins, inverse, nearest), origins, inverse, children, centers, rounds))


def enter(origins: Tensor, inverse: Tensor, nearest: float) -> Pieces:
    """The pieces that lie in the root, at most one a ray; arguments as for `descend`."""
    low, high = -origins * inverse, (1.0 - origins) * inverse
    begin = torch.minimum(low, high).amax(0).clamp_min(nearest)
    end = torch.maximum(low, high).amin(0)
    inside = begin < end
    ray = inside.nonzero().flatten()
    offsets = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
    return Pieces(torch.zeros_like(ray), begin.index_select(0, ray), end.index_select(0, ray), ray, offsets)


def refine(
    pieces: Pieces, origins: Tensor, inverse: Tensor, children: Tensor, centers: Tensor, rounds: int
) -> Pieces:
    """`pieces`, cut `rounds` times; other arguments as for `descend`."""
    node, a, b, ray, offsets = pieces
    for _ in range(rounds):
        here, speed = origins.index_select(1, ray), inverse.index_select(1, ray)
        child, starts, ends = cut(Items(node, a, b), here, speed, children, centers)
        kept = starts < ends
        offsets = torch.nn.functional.pad(kept.sum(1).cumsum(0), (1, 0)).index_select(0, offsets)
        piece, part = kept.nonzero().unbind(1)
        index = piece * 4 + part
        ray = ray.index_select(0, piece)
        node = child.flatten().index_select(0, index)
        a = starts.flatten().index_select(0, index)
        b = ends.flatten().index_select(0, index)
    return Pieces(node, a, b, ray, offsets)


def cut(items: Items, origins: Tensor, inverse: Tensor, children: Tensor, centers: Tensor) -> Items:
    """A round: items [K] of nodes into the pieces [K, 4] in their children, in the order of the ray.

    origins, inverse [3, K]: of each item's ray; other arguments as for `descend`. Pieces that fall out, in
    empty children or without length, are those with near >= far.
    """
    node, a, b = items.node, items.near, items.far
    is_voxel = node < 0
    row = node.clamp_min(0)
    planes = (centers.index_select(1, row) - origins) * inverse
    planes = torch.clamp(torch.where(is_voxel, b, planes), a, b)
    x, y, z = planes[0], planes[1], planes[2]
    less, more = torch.minimum(x, y), torch.maximum(x, y)
    first, last = torch.minimum(less, z), torch.maximum(more, z)
    middle = torch.minimum(more, torch.maximum(less, z))
    starts = torch.stack([a, first, middle, last], dim=1)
    ends = torch.stack([first, middle, last, b], dim=1)
    # A piece is beyond a plane if it starts there or later; which side that is depends on the direction.
    beyond = (planes[:, :, None] <= starts) == (inverse > 0.0)[:, :, None]
    bits = beyond.long()
    octant = bits[0] * 4 + bits[1] * 2 + bits[2]
    child = children.flatten().index_select(0, (row[:, None] * 8 + octant).flatten()).view(-1, 4)
    child = torch.where(is_voxel[:, None], node[:, None], child)
    return Items(child, starts, torch.where(child == -1, starts, ends))


def voxels_of(pieces: Pieces) -> VoxelIntervals:
    """Pieces that all lie in voxels, by their voxels."""
    return VoxelIntervals(-2 - pieces.node, pieces.near, pieces.far, pieces.ray_index, pieces.offsets)


def chosen(pieces: Pieces, mask: Tensor) -> Pieces:
    """The pieces where mask [K] is true."""
    index = mask.nonzero().flatten()
    return Pieces(
        pieces.node.index_select(0, index),
        pieces.near.index_select(0, index),
        pieces.far.index_select(0, index),
        pieces.ray_index.index_select(0, index),
        torch.nn.functional.pad(mask.cumsum(0), (1, 0)).index_select(0, pieces.offsets),
    )


def ranks(pieces: Pieces) -> Tensor:
    """How many pieces of its ray are before each [K]."""
    count = torch.arange(pieces.ray_index.shape[0], device=pieces.ray_index.device)
    return count - pieces.offsets.index_select(0, pieces.ray_index)
