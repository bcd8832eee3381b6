"""SVRaster with a fixed number of items a ray, for runtimes without shapes that depend on values.

The descent and the shading are those of the packed render graph. After every round of the descent the first B
pieces of each ray go on, found by one TopK; rows with fewer are filled up with items without length. While B
suffices, both graphs give the same light to rounding.

Notation
    R rays; B items of a ray; K = R B items, ray after ray
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurocity.errors import ConfigError
from neurocity.rendering.compositing import row_transmittance
from neurocity.rendering.render import RayRender
from neurocity.svraster import shading
from neurocity.svraster.traversal import Items, VoxelIntervals, cut, inverse_directions

if TYPE_CHECKING:
    from neurocity.svraster.core import SVRaster


class FixedBudgetVoxels(nn.Module):
    """Renders `model`, whose parameters it shares, with at most `samples` octree items of a ray at a time.

    Raises ConfigError for a model without voxels.
    """

    def __init__(self, model: "SVRaster", samples: int) -> None:
        super().__init__()
        if not len(model.voxel_level):
            raise ConfigError("the model has no voxels, so there is nothing to render with a fixed budget")
        self.model = model
        self.samples = samples
        self.training = model.training

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        model, budget = self.model, self.samples
        origins, directions = ray_origins.t(), ray_directions.t()
        items = descend_rows(model, origins, directions, budget)
        found = (items.near < items.far).view(-1, budget)
        ray = torch.arange(ray_origins.shape[0], device=origins.device)[:, None].expand(-1, budget).flatten()
        intervals = VoxelIntervals((-2 - items.node).clamp_min(0), items.near, items.far, ray, ray)
        tau = model.optical_depth(intervals, origins, directions).view(-1, budget)
        tau = torch.where(found, tau, 0.0)
        weights = shading.ended(row_transmittance(tau), tau)
        colors = model.colors(intervals.voxel, origins, ray, model.basis_size).clamp(0.0, model.brightest)
        seen = torch.where(weights > model.faintest, weights, 0.0)
        rgb = (seen[:, :, None] * colors.view(-1, budget, 3)).sum(1)
        middle = ((items.near + items.far) * 0.5).view(-1, budget)
        opacity = weights.sum(1).clamp(0.0, 1.0)
        depth = (weights * middle).sum(1) / opacity.clamp_min(1e-6)
        render = RayRender(rgb, depth, opacity)
        return model.before_sky(render, directions) if model.sky_enabled else render


def descend_rows(model: "SVRaster", origins: Tensor, directions: Tensor, budget: int) -> Items:
    """The first `budget` voxels [R budget] that rays [3, R] cross, front to back; the rest has near = far."""
    start, inverse = model.to_unit(origins), inverse_directions(directions / model.root_side)
    begin, end = root_span(start, inverse, model.near)
    a = torch.where(begin < end, begin, 0.0)
    items = Items(torch.zeros_like(a, dtype=torch.int64), a, torch.where(begin < end, end, 0.0))
    width = 1
    for _ in range(model.rounds):
        here, speed = (plane[:, :, None].expand(-1, -1, width).flatten(1) for plane in (start, inverse))
        pieces = cut_rows(items, here, speed, model)
        items, width = first_kept(pieces, 4 * width, min(4 * width, budget))
    if width < budget:
        items = Items(
            *(nn.functional.pad(plane.view(-1, width), (0, budget - width)).flatten() for plane in items)
        )
    return items


def cut_rows(items: Items, origins: Tensor, inverse: Tensor, model: "SVRaster") -> Items:
    """`traversal.cut` of items [K], the pieces of each in a row: [K, 4]."""
    node, near, far = cut(items, origins, inverse, model.node_children, model.node_centers)
    return Items(node.t(), near.t(), far.t())


def root_span(start: Tensor, inverse: Tensor, nearest: float) -> tuple[Tensor, Tensor]:
    """Where rays [3, R] enter and leave the unit cube, [R] each; see `traversal.descend`."""
    low, high = -start * inverse, (1.0 - start) * inverse
    return torch.minimum(low, high).amax(0).clamp_min(nearest), torch.maximum(low, high).amin(0)


def first_kept(pieces: Items, width: int, budget: int) -> tuple[Items, int]:
    """The first `budget` pieces with a length of rows of `width`, and `budget`."""
    near, far = pieces.near.reshape(-1, width), pieces.far.reshape(-1, width)
    position = torch.arange(width, device=near.device).to(near.dtype)
    key = torch.where(near < far, width - position, -position)
    key, chosen = torch.topk(key, budget, dim=1)
    near, far = near.gather(1, chosen), far.gather(1, chosen)
    node = pieces.node.reshape(-1, width).gather(1, chosen)
    kept = key > 0.0
    near = torch.where(kept, near, 0.0)
    far = torch.where(kept, far, 0.0)
    return Items(torch.where(kept, node, 0).flatten(), near.flatten(), far.flatten()), budget


def items_needed(model: "SVRaster", origins: Tensor, directions: Tensor) -> Tensor:
    """The most items in any round that rays [3, R] have in front of where their light ends, [R] int64."""
    intervals = model.traverse(origins, directions)
    tau = model.optical_depth(intervals, origins, directions)
    lit = shading.visible_weights(tau, intervals.offsets, intervals.ray_index) > 0.0
    number = origins.shape[1]
    light_end = torch.zeros(number, device=origins.device).scatter_reduce(
        0, intervals.ray_index[lit], intervals.far[lit], "amax"
    )
    start, inverse = model.to_unit(origins), inverse_directions(directions / model.root_side)
    begin, end = root_span(start, inverse, model.near)
    # What begins behind the end of the light does not count, in no round.
    ray = (begin < torch.minimum(end, light_end)).nonzero().flatten()
    items = Items(torch.zeros_like(ray), begin[ray], end[ray])
    most = torch.zeros(number, dtype=torch.int64, device=origins.device)
    for _ in range(model.rounds):
        pieces = cut_rows(items, start[:, ray], inverse[:, ray], model)
        kept = pieces.near < torch.minimum(pieces.far, light_end[ray][:, None])
        ray = ray[:, None].expand(-1, 4)[kept]
        items = Items(*(plane[kept] for plane in pieces))
        most = torch.maximum(most, torch.bincount(ray, minlength=number))
    return most
