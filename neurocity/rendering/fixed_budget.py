"""Rendering with a fixed number of samples a ray, for runtimes that take no shape that depends on values.

Of each ray's samples the first K count, found by one TopK; rows with fewer are filled up with samples that
hold nothing. Field and compositing are those of the packed render graph. While K suffices, both graphs give
the same light to rounding.

Notation
    R rays; S lattice points of a ray; K samples of a ray; N = R K samples, ray after ray
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from neurocity.rendering.marching import RayMarcher
from neurocity.rendering.packed import first_true
from neurocity.rendering.render import RayRender

NEGLIGIBLE_LIGHT = 1e-5
"""Samples that a smaller share of light reaches count as not needed. No colour changes by more than that, a
fiftieth of what rounding to 8 bits does."""


class RowSamples(NamedTuple):
    """Samples of R rays in rows of K, front to back.

    points [3, R K]: in the unit cube; the cube's centre where nothing was found. t, delta [R, K]: as in
    `marching.PackedSamples`. found [R, K] bool: whether the sample is one, and no filling.
    """

    points: Tensor
    t: Tensor
    delta: Tensor
    found: Tensor


class RowModel(Protocol):
    """A model that can render with rows of samples."""

    training: bool

    @property
    def render_rows(self) -> Callable[..., RayRender]:
        """How many samples each, and rays as for the model itself -> their render."""


class FixedBudget(nn.Module):
    """Renders `model`, whose parameters it shares, with at most `samples` samples a ray."""

    def __init__(self, model: RowModel, samples: int) -> None:
        super().__init__()
        self.model = model
        self.samples = samples
        self.training = model.training

    def forward(
        self, ray_origins: Tensor, ray_directions: Tensor, ray_radii: Tensor | None = None
    ) -> RayRender:
        """Render rays as `model` does; see `neurocity.family.RenderModel`."""
        if ray_radii is None:
            return self.model.render_rows(self.samples, ray_origins, ray_directions)
        return self.model.render_rows(self.samples, ray_origins, ray_directions, ray_radii)


def first_occupied(
    marcher: RayMarcher, origins: Tensor, directions: Tensor, jump: Tensor, samples: int
) -> RowSamples:
    """The first `samples` occupied lattice points of rays [3, R], at interval midpoints."""
    start, count = marcher.lattice(origins, directions)
    half = torch.full_like(start, 0.5)[:, None]
    index = torch.arange(marcher.points, device=start.device).to(start.dtype)
    t, _ = marcher.depth_at(start[:, None], index, half)
    points = origins[:, :, None] + directions[:, :, None] * t
    occupied = (jump[marcher.cell(points)] < 0.0) & (index < count[:, None])
    point, found = first_true(occupied, samples, start.dtype)
    t, delta = marcher.depth_at(start[:, None], point.to(start.dtype), half)
    points = (origins[:, :, None] + directions[:, :, None] * t).flatten(1)
    unit = torch.where(found.flatten(), marcher.to_unit(points), 0.5)
    return RowSamples(unit, t, marcher.optical_width(points, delta.flatten()).view_as(t), found)
