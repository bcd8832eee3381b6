"""The space that the field lives in, and the part of a ray in which it can meet matter.

Notation
    R rays, S lattice points a ray, G cells along an axis of the hull's grid
    t        distance along a ray, in half sides of the scene's cube
    s        place of a fence post, in which the first pass is even: t itself in a bounded scene

Field coordinates put the cube of the scene's box at [-1, 1]^3. Bounded scenes: a ray counts from the first to
the last cell of the visual hull on its way. Unbounded scenes: from the camera to FAR, with s even in t near
the camera and in 1/t from one half side on (Barron et al. 2022, section 3.1).
"""

import math

import torch
from torch import Tensor, nn

from neurocity.mip_nerf.config import MipNeRFConfig
from neurocity.rendering.marching import FAR
from neurocity.rendering.slabs import finite_inverse, slab_span

LATTICE_CELLS = 2.0
"""Distance of lattice points, in cells. No point of a ray is further than a cell from one of them, so that
with a border of one cell around the hull none is missed."""


class SceneSpace(nn.Module):
    """Maps world rays into the field's space."""

    low: Tensor
    high: Tensor
    center: Tensor
    possible: Tensor

    def __init__(self, config: MipNeRFConfig) -> None:
        super().__init__()
        low, high = torch.tensor(config.scene_bounds[:3]), torch.tensor(config.scene_bounds[3:])
        self.unbounded = config.unbounded
        self.resolution = config.hull_resolution
        self.half_side = float((high - low).max()) / 2.0
        self.near = config.near / self.half_side
        # TorchScript reads attributes, not globals.
        self.far = FAR
        self.spacing = LATTICE_CELLS * 2.0 / self.resolution
        self.points = math.ceil(2.0 * 3**0.5 / self.spacing)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("center", (low + high) / 2, persistent=False)
        cells = 0 if self.unbounded else self.resolution**3
        self.register_buffer("possible", torch.ones(cells, dtype=torch.bool))

    @torch.jit.unused
    def restrict(self, possible: Tensor) -> None:
        """Expect matter in `possible` [G^3] bool, x fastest, and in the cells around these alone.

        The grid's cube has its low corner at that of the bounds.
        """
        grid = self.resolution
        grown = possible.view(1, 1, grid, grid, grid).float()
        grown = nn.functional.max_pool3d(grown, 3, stride=1, padding=1)
        self.possible.copy_(grown.flatten() > 0.0)

    def to_unit(self, points: Tensor) -> Tensor:
        """World points [..., 3] in field coordinates."""
        return (points - self.center) / self.half_side

    def span(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Begin and end [R] of rays in t; the end is not beyond the begin where a ray can meet nothing.

        origins [R, 3] in field coordinates, unit directions [R, 3].
        """
        if self.unbounded:
            begin = torch.full_like(origins[:, 0], self.near)
            return begin, torch.full_like(begin, self.far)
        begin, end = self.box_span(origins, directions)
        index = torch.arange(self.points, device=origins.device).to(origins.dtype)
        t = begin[:, None] + (index + 0.5) * self.spacing
        found = self.possible.index_select(0, self.cells(origins, directions, t).flatten()).view_as(t)
        found = found & (t - self.spacing * 0.5 < end[:, None])
        first = torch.where(found, t, torch.inf).amin(1) - self.spacing * 0.5
        last = torch.where(found, t, -torch.inf).amax(1) + self.spacing * 0.5
        return torch.maximum(first, begin), torch.minimum(last, end)

    def box_span(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays enter and leave the scene's box, in t; not before the camera."""
        inverse = finite_inverse(directions)
        to_low = (self.to_unit(self.low) - origins) * inverse
        to_high = (self.to_unit(self.high) - origins) * inverse
        return slab_span(to_low, to_high, self.near, 1)

    def cells(self, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
        """Cells of the hull's grid [R, S] int64 at t [R, S] along rays; points outside get a border cell."""
        per_half_side = self.resolution * 0.5
        # Coordinates first: operations on a last axis of three are several times as slow.
        start = ((origins - self.to_unit(self.low)) * per_half_side).t()[:, :, None]
        step = (directions * per_half_side).t()[:, :, None]
        x, y, z = (start + step * t).floor().clamp(0.0, self.resolution - 1.0).unbind(0)
        return x.long() + self.resolution * (y + self.resolution * z).long()

    def place_of(self, t: Tensor) -> Tensor:
        """s of distances t; in an unbounded scene from -1 at the camera to 0, where floats are dense."""
        if not self.unbounded:
            return t
        return torch.where(t < 1.0, 0.5 * t - 1.0, -0.5 / t.clamp_min(1.0))

    def distance_of(self, s: Tensor) -> Tensor:
        """t of places s, the inverse of `place_of`."""
        if not self.unbounded:
            return s
        return torch.where(s < -0.5, 2.0 * s + 2.0, -0.5 / s.clamp_max(-1e-6))
