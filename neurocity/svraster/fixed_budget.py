"""The descent of `traversal` with a fixed number of items a ray: no shape depends on values.

After every round the first B pieces of each ray go on, found by one TopK; rows with fewer are filled up with
items without length. While B suffices, both descents give the same voxels.

Notation
    R rays; B items of a ray; K = R B items, ray after ray
"""

import torch
from torch import Tensor, nn

from neurocity.rendering.packed import first_true
from neurocity.svraster.traversal import Descent, Items, cut, root_span


def descend_rows(descent: Descent, rounds: int, budget: int) -> Items:
    """The first `budget` voxels [R budget] that rays cross, front to back; the rest has near = far."""
    begin, end = root_span(descent)
    a = torch.where(begin < end, begin, 0.0)
    items = Items(torch.zeros_like(a, dtype=torch.int64), a, torch.where(begin < end, end, 0.0))
    width = 1
    for _ in range(rounds):
        here, speed = (plane[:, :, None].expand(-1, -1, width).flatten(1) for plane in descent[:2])
        rows = [plane.reshape(-1, 4 * width) for plane in cut_rows(items, here, speed, descent)]
        width = min(4 * width, budget)
        index, kept = first_true(rows[1] < rows[2], width, a.dtype)
        items = Items(*(torch.where(kept, plane.gather(1, index), 0).flatten() for plane in rows))
    if width < budget:
        items = Items(
            *(nn.functional.pad(plane.view(-1, width), (0, budget - width)).flatten() for plane in items)
        )
    return items


def cut_rows(items: Items, origins: Tensor, inverse: Tensor, descent: Descent) -> Items:
    """`traversal.cut` of items [K], the pieces of each in a row: [K, 4]."""
    return Items(*(plane.t() for plane in cut(items, origins, inverse, descent)))


def most_items(descent: Descent, rounds: int, light_end: Tensor) -> Tensor:
    """The most items in any round that rays have in front of `light_end` [R], where their light ends: [R]."""
    begin, end = root_span(descent)
    # What begins behind the end of the light does not count, in no round.
    ray = (begin < torch.minimum(end, light_end)).nonzero().flatten()
    items = Items(torch.zeros_like(ray), begin[ray], end[ray])
    most = torch.zeros_like(light_end, dtype=torch.int64)
    for _ in range(rounds):
        pieces = cut_rows(items, descent.origins[:, ray], descent.inverse[:, ray], descent)
        kept = pieces.near < torch.minimum(pieces.far, light_end[ray][:, None])
        ray = ray[:, None].expand(-1, 4)[kept]
        items = Items(*(plane[kept] for plane in pieces))
        most = torch.maximum(most, torch.bincount(ray, minlength=len(most)))
    return most
