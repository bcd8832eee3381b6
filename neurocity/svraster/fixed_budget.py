"""The descent of `traversal` with a fixed number of items a ray: no shape depends on values.

After every round the first B pieces of each ray go on, found by one TopK; rows with fewer are filled up with
items without length. While B suffices, both descents give the same voxels.

Notation
    R rays; B items of a ray; K = R B items, ray after ray
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurocity.rendering.packed import first_true
from neurocity.rendering.slabs import slab_span
from neurocity.svraster.traversal import Items, cut


class Descent(NamedTuple):
    """Rays and the octree that they descend; the fields are the arguments of `traversal.descend`."""

    origins: Tensor
    inverse: Tensor
    nearest: float
    children: Tensor
    centers: Tensor
    rounds: int

    def span(self) -> tuple[Tensor, Tensor]:
        """Where rays enter and leave the root, [R] each."""
        low, high = -self.origins * self.inverse, (1.0 - self.origins) * self.inverse
        return slab_span(low, high, self.nearest, 0)


def descend_rows(descent: Descent, budget: int) -> Items:
    """The first `budget` voxels [R budget] that rays cross, front to back; the rest has near = far."""
    begin, end = descent.span()
    a = torch.where(begin < end, begin, 0.0)
    items = Items(torch.zeros_like(a, dtype=torch.int64), a, torch.where(begin < end, end, 0.0))
    width = 1
    for _ in range(descent.rounds):
        here, speed = (plane[:, :, None].expand(-1, -1, width).flatten(1) for plane in descent[:2])
        pieces = cut_rows(items, here, speed, descent)
        items, width = first_kept(pieces, 4 * width, min(4 * width, budget))
    if width < budget:
        items = Items(
            *(nn.functional.pad(plane.view(-1, width), (0, budget - width)).flatten() for plane in items)
        )
    return items


def cut_rows(items: Items, origins: Tensor, inverse: Tensor, descent: Descent) -> Items:
    """`traversal.cut` of items [K], the pieces of each in a row: [K, 4]."""
    return Items(*(plane.t() for plane in cut(items, origins, inverse, descent.children, descent.centers)))


def first_kept(pieces: Items, width: int, budget: int) -> tuple[Items, int]:
    """The first `budget` pieces with a length of rows of `width`, and `budget`."""
    node, near, far = (plane.reshape(-1, width) for plane in pieces)
    index, kept = first_true(near < far, budget, near.dtype)
    rows = (torch.where(kept, plane.gather(1, index), 0) for plane in (node, near, far))
    return Items(*(plane.flatten() for plane in rows)), budget


def most_items(descent: Descent, light_end: Tensor) -> Tensor:
    """The most items in any round that rays have in front of `light_end` [R], where their light ends: [R]."""
    begin, end = descent.span()
    # What begins behind the end of the light does not count, in no round.
    ray = (begin < torch.minimum(end, light_end)).nonzero().flatten()
    items = Items(torch.zeros_like(ray), begin[ray], end[ray])
    most = torch.zeros_like(light_end, dtype=torch.int64)
    for _ in range(descent.rounds):
        pieces = cut_rows(items, descent.origins[:, ray], descent.inverse[:, ray], descent)
        kept = pieces.near < torch.minimum(pieces.far, light_end[ray][:, None])
        ray = ray[:, None].expand(-1, 4)[kept]
        items = Items(*(plane[kept] for plane in pieces))
        most = torch.maximum(most, torch.bincount(ray, minlength=len(most)))
    return most
