"""The march of `MarchedField` with a fixed number of samples a ray.

It is for runtimes that take no shape that depends on values.

The lattice, the field and the compositing are those of the packed render graph. Of each ray's occupied
lattice points the first K count, found by one TopK; rows with fewer are filled up with samples that hold
nothing. While K suffices, both graphs give the same light to rounding.

Notation
    R rays; S lattice points of a ray; K samples of a ray; N = R K samples, ray after ray
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import spherical_harmonics

if TYPE_CHECKING:
    from neurocity.rendering.marched_field import MarchedField
    from neurocity.rendering.marching import RayMarcher

LEAST_LIGHT = 1e-5
"""Samples that a smaller share of light reaches count as not needed: no colour changes by more than that."""


class RowSamples(NamedTuple):
    """Samples of R rays in rows of K, front to back.

    points [3, R K]: in the unit cube; the cube's centre where nothing was found. t, delta [R, K]: as in
    `marching.PackedSamples`. found [R, K] bool: whether the sample is one, and no filling.
    """

    points: Tensor
    t: Tensor
    delta: Tensor
    found: Tensor


class FixedBudgetMarch(nn.Module):
    """Renders `field`, sharing its parameters, with the first `samples` occupied lattice points of a ray."""

    def __init__(self, field: "MarchedField", samples: int) -> None:
        super().__init__()
        self.field = field
        self.samples = min(samples, field.marcher.points)
        self.training = field.training

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        field = self.field
        origins, directions = ray_origins.t(), ray_directions.t()
        samples = first_occupied(field.marcher, origins, directions, field.occupancy.jump, self.samples)
        features, weights = field.weigh_rows(samples)
        basis = spherical_harmonics(directions)
        basis_of_samples = basis[:, None, :].expand(-1, self.samples, -1).flatten(0, 1)
        color = field.color(samples.points, features, basis_of_samples).view(-1, self.samples, 3)
        seen = torch.where(weights > field.visible_weight, weights, 0.0)
        rgb = (seen[:, :, None] * color).sum(1).t()
        return field.before_sky(rgb, (weights * samples.t).sum(1), weights.sum(1), basis)


def first_occupied(
    marcher: "RayMarcher", origins: Tensor, directions: Tensor, jump: Tensor, samples: int
) -> RowSamples:
    """The first `samples` occupied lattice points of rays [3, R], at interval midpoints."""
    start, count = marcher.lattice(origins, directions)
    half = torch.full_like(start, 0.5)[:, None]
    index = torch.arange(marcher.points, device=start.device).to(start.dtype)
    t, _ = marcher.depth_at(start[:, None], index, half)
    points = origins[:, :, None] + directions[:, :, None] * t
    occupied = (jump[marcher.cell(points)] < 0.0) & (index < count[:, None])
    # Occupied points come before all others, and both kinds in the order of the ray.
    key = torch.where(occupied, marcher.points - index, -index)
    chosen_key, chosen = torch.topk(key, samples, dim=1)
    found = chosen_key > 0.0
    t, delta = marcher.depth_at(start[:, None], chosen.to(start.dtype), half)
    points = (origins[:, :, None] + directions[:, :, None] * t).flatten(1)
    unit = torch.where(found.flatten(), marcher.to_unit(points), 0.5)
    return RowSamples(unit, t, marcher.optical_width(points, delta.flatten()).view_as(t), found)
