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

from neurocity.rendering.graph_target import gather_rows, materialize
from neurocity.rendering.packed import compact
from neurocity.rendering.slabs import slab_span

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


class Descent(NamedTuple):
    """R rays and the octree that they descend.

    origins [3, R]: where rays start in the unit cube. inverse [3, R]: world units per unit of the cube along
    an axis. nearest: where rays begin. children [nodes, 8], centers [3, nodes]: see `octree.Octree`.
    """

    origins: Tensor
    inverse: Tensor
    nearest: float
    children: Tensor
    centers: Tensor


def descend(descent: Descent, rounds: int) -> VoxelIntervals:
    """The definition; rounds: level of the smallest voxels."""
    return voxels_of(refine(enter(descent), descent, rounds))


def root_span(descent: Descent) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the root, [R] each; a ray that misses it leaves first."""
    origins, inverse = descent.origins, descent.inverse
    return slab_span(-origins * inverse, (1.0 - origins) * inverse, descent.nearest, 0)


def enter(descent: Descent) -> Pieces:
    """The pieces that lie in the root, at most one a ray."""
    begin, end = root_span(descent)
    inside = begin < end
    ray = inside.nonzero().flatten()
    offsets = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
    return Pieces(torch.zeros_like(ray), gather_rows(begin, ray), gather_rows(end, ray), ray, offsets)


def refine(pieces: Pieces, descent: Descent, rounds: int) -> Pieces:
    """`pieces`, cut `rounds` times."""
    node, a, b, ray, offsets = pieces
    for _ in range(rounds):
        here, speed = gather_rows(descent.origins, ray), gather_rows(descent.inverse, ray)
        child, starts, ends = cut(Items(node, a, b), here, speed, descent)
        kept = starts < ends
        offsets = torch.nn.functional.pad(kept.sum(0).cumsum(0), (1, 0)).index_select(0, offsets)
        piece, part = kept.t().nonzero().unbind(1)
        index = materialize(part * node.shape[0] + piece)
        ray = gather_rows(ray, piece)
        node = gather_rows(child.flatten(), index)
        a = gather_rows(starts.flatten(), index)
        b = gather_rows(ends.flatten(), index)
    return Pieces(node, a, b, ray, offsets)


def cut(items: Items, origins: Tensor, inverse: Tensor, descent: Descent) -> Items:
    """A round: items [K] of nodes into the pieces [4, K] in their children, in the order of the ray.

    origins, inverse [3, K]: of each item's ray. Pieces that fall out, in empty children or without length,
    are those with near >= far.
    """
    node, a, b = items.node, items.near, items.far
    is_voxel = node < 0
    row = node.clamp_min(0)
    planes = (gather_rows(descent.centers, row) - origins) * inverse
    planes = materialize(torch.clamp(torch.where(is_voxel, b, planes), a, b))
    x, y, z = planes[0], planes[1], planes[2]
    less, more = torch.minimum(x, y), torch.maximum(x, y)
    first, last = torch.minimum(less, z), torch.maximum(more, z)
    middle = torch.minimum(more, torch.maximum(less, z))
    cuts = materialize(torch.stack([a, first, middle, last, b]))
    starts = cuts[:4]
    # A piece is beyond a plane if it starts there or later; which side that is depends on the direction.
    beyond = (planes[:, None] <= starts) == (inverse > 0.0)[:, None]
    bits = beyond.long()
    octant = bits[0] * 4 + bits[1] * 2 + bits[2]
    child = gather_rows(descent.children.flatten(), (row * 8 + octant).flatten()).view(4, -1).long()
    child = materialize(torch.where(is_voxel, node, child))
    return Items(child, starts, materialize(torch.where(child == -1, starts, cuts[1:])))


def voxels_of(pieces: Pieces) -> VoxelIntervals:
    """Pieces that all lie in voxels, by their voxels."""
    return VoxelIntervals(-2 - pieces.node, pieces.near, pieces.far, pieces.ray_index, pieces.offsets)


def kept_pieces(pieces: Pieces, mask: Tensor) -> Pieces:
    """The pieces where mask [K] is true."""
    index, offsets = compact(mask, pieces.offsets)
    return Pieces(
        gather_rows(pieces.node, index),
        gather_rows(pieces.near, index),
        gather_rows(pieces.far, index),
        gather_rows(pieces.ray_index, index),
        offsets,
    )
