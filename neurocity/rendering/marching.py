"""Ray marching by jumps: the occupied points of a ray's sample lattice, front to back, packed.

Notation
    R rays, N samples, G cells along an axis of the occupancy grid
    a ray's lattice is the sequence of depths t_0 < t_1 < ...; sample i stands for the interval of width
    delta_i around t_i; an empty cell's entry in the jump field lets a ray leap over lattice points that
    cannot be occupied, so the samples are exactly those of a walk over every lattice point

Bounded scenes: t_i = t_near + (i + 1/2) step inside the box. Unbounded scenes: intervals grow geometrically
from the camera, and positions are contracted into a cube (Barron et al. 2022, eq. 10, in maximum norm, whose
unit ball is the scene's box).
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from neurocity.errors import ConfigError
from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.marching_kernels import march_cpu

SMALLEST_COMPONENT: Final = 1e-9
"""Direction components nearer to zero are taken as this large, which keeps the slab test finite."""
FAR: Final = 512.0
"""End of an unbounded ray, in half sides of the scene's cube."""


class PackedSamples(NamedTuple):
    """Samples of R rays, ray after ray, front to back.

    points [3, N]: in the unit cube that the field lives in. t [N], delta [N]: depth along the ray and
    interval width, world units. ray_index [N] int64. offsets [R + 1] int64: first sample of each ray.
    """

    points: Tensor
    t: Tensor
    delta: Tensor
    ray_index: Tensor
    offsets: Tensor


class RayMarcher(nn.Module):
    """Marches rays through a scene's box, or through all space when `unbounded`.

    bounds: (x0, y0, z0, x1, y1, z1) in world units. steps: lattice points along the diagonal of the box's
    cube; it sets the step. growth: relative growth of a step with its index, unbounded scenes only.
    near: distance from the camera, world units, before which nothing is sampled.
    """

    def __init__(
        self,
        *,
        bounds: tuple[float, ...],
        unbounded: bool,
        steps: int,
        growth: float,
        near: float,
        grid: int,
    ) -> None:
        super().__init__()
        low, high = torch.tensor(bounds[:3]), torch.tensor(bounds[3:])
        if not bool((high > low).all()):
            raise ConfigError(f"scene_bounds: got {bounds}, expected x0 < x1, y0 < y1, z0 < z1")
        side = float((high - low).max())
        self.unbounded = unbounded
        self.near = near
        self.grid = grid
        self.side = side
        self.step = side * 3**0.5 / steps
        self.register_buffer("low", low[:, None], persistent=False)
        self.register_buffer("high", high[:, None], persistent=False)
        self.register_buffer("center", (low + high)[:, None] / 2, persistent=False)
        self.register_buffer("strides", torch.tensor([[1.0], [grid], [grid * grid]]), persistent=False)
        edges = torch.zeros(2)
        self.growth = growth
        self.start_step = 0.0
        if unbounded:
            # Steps inside the box are as in a bounded scene where the cone is thinner than that.
            last = torch.log(torch.tensor(growth * FAR * side / 2 / self.step + 1.0)) / growth
            index = torch.arange(int(last) + 2, dtype=torch.float64)
            edges = near + self.step / growth * torch.expm1(growth * index)
        self.register_buffer("edges", edges.float(), persistent=False)

    def lattice(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, Tensor]:
        """Start depth [R] and number of lattice points [R] (float) of rays given as [3, R] planes."""
        if self.unbounded:
            start = torch.full_like(ray_origins[0], self.near)
            return start, torch.full_like(start, float(self.edges.shape[0] - 1))
        small = torch.where(ray_directions < 0.0, -SMALLEST_COMPONENT, SMALLEST_COMPONENT)
        inverse = 1.0 / torch.where(ray_directions.abs() < SMALLEST_COMPONENT, small, ray_directions)
        to_low, to_high = (self.low - ray_origins) * inverse, (self.high - ray_origins) * inverse
        start = torch.minimum(to_low, to_high).amax(0).clamp_min(self.near)
        end = torch.maximum(to_low, to_high).amin(0)
        return start, ((end - start) / self.step).floor().clamp(0.0, 1e6)

    def depth_at(self, start: Tensor, index: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Depth and interval width of lattice points; jitter in [0, 1) places the point in its interval."""
        if self.unbounded:
            cell = index.clamp(0.0, float(self.edges.shape[0] - 2)).long()
            begin = self.edges[cell]
            width = self.edges[cell + 1] - begin
            return begin + jitter * width, width
        return start + (index + jitter) * self.step, torch.full_like(start, self.step)

    def to_unit(self, points: Tensor) -> Tensor:
        """World points [3, N] -> the unit cube, [3, N]; bounded scenes put their box's low corner at 0."""
        if not self.unbounded:
            return (points - self.low) / self.side
        relative = (points - self.center) / (self.side / 2)
        norm = relative.abs().amax(0).clamp_min(1.0)
        return relative * ((2.0 - 1.0 / norm) / norm) * 0.25 + 0.5

    def leap(self, points: Tensor, jump: Tensor, speed: Tensor, t: Tensor) -> Tensor:
        """Distance [R] that a ray may travel from `points` [3, R]: jump [R] in cells, speed = max |d|."""
        cells = jump.clamp_min(0.0) / speed
        if not self.unbounded:
            return cells * (self.side / self.grid)
        # The contraction stretches no length, in maximum norm, by more than 4/3, nor by more than 8 / m on a
        # way that keeps at least half of the point's norm m.
        norm = ((points - self.center) / (self.side / 2)).abs().amax(0)
        return cells * torch.clamp_min(norm / 8.0, 0.75) * (2.0 * self.side / self.grid)

    def forward(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, iterations: int
    ) -> PackedSamples:
        """Eval samples (interval midpoints) of rays [3, R]; a ray ends after `iterations` lattice visits."""
        jitter = torch.full_like(ray_origins[0], 0.5)
        return self.march(ray_origins, ray_directions, jump, jitter, iterations)

    def march(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor, iterations: int
    ) -> PackedSamples:
        """Samples with one jitter [R] a ray. iterations <= 0: as many as the longest ray needs."""
        if torch.jit.is_scripting():
            return self.march_planes(ray_origins, ray_directions, jump, jitter, iterations)
        elif kernels_apply(ray_origins):
            start, count = self.lattice(ray_origins, ray_directions)
            return PackedSamples(
                *march_cpu(self, (ray_origins, ray_directions, start, count, jitter), jump, iterations)
            )
        return self.march_planes(ray_origins, ray_directions, jump, jitter, iterations)

    def march_planes(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor, iterations: int
    ) -> PackedSamples:
        """The definition: all rays advance together; iteration k fills plane k of [K, R]."""
        start, count = self.lattice(ray_origins, ray_directions)
        speed = ray_directions.abs().amax(0)
        index = torch.zeros_like(start)
        hits, depths, widths = [torch.zeros(0)][:0], [torch.zeros(0)][:0], [torch.zeros(0)][:0]
        k = 0
        while k < iterations or (iterations <= 0 and bool((index < count).any())):
            k += 1
            t, delta = self.depth_at(start, index, jitter)
            points = ray_origins + ray_directions * t
            cell = (self.to_unit(points) * self.grid).floor().clamp(0.0, self.grid - 1.0)
            free = jump[(cell * self.strides).sum(0).long()]
            hits.append((free < 0.0) & (index < count))
            depths.append(t)
            widths.append(delta)
            leap = self.leap(points, free, speed, t)
            index = torch.maximum(index + 1.0, self.next_index(start, t, index, leap, jitter))
        hit = torch.stack(hits, 1)
        ray_index, slot = hit.nonzero(as_tuple=True)
        t = torch.stack(depths, 1)[ray_index, slot]
        delta = torch.stack(widths, 1)[ray_index, slot]
        offsets = nn.functional.pad(hit.sum(1).cumsum(0), (1, 0))
        points = ray_origins.index_select(1, ray_index) + ray_directions.index_select(1, ray_index) * t
        return PackedSamples(self.to_unit(points), t, delta, ray_index, offsets)

    def next_index(self, start: Tensor, t: Tensor, index: Tensor, leap: Tensor, jitter: Tensor) -> Tensor:
        """The last lattice index whose depth is at most t + leap."""
        if not self.unbounded:
            return index + (leap / self.step).floor()
        ahead = torch.log1p((t + leap - self.near) * (self.growth / self.step)) / self.growth
        # One less than the inverse says: rounding must never leap over an occupied point.
        return (ahead - jitter).floor() - 1.0
