"""Ray marching: the occupied points of a ray's sample lattice, front to back, packed.

Notation
    R rays, N samples, S lattice segments, G cells along an axis of the occupancy grid
    a ray's lattice is the sequence of depths t_0 < t_1 < ...; sample i stands for the interval of width
    delta_i around t_i; a segment is a run of lattice points

The jump field of the occupancy grid says how far around a point all is empty. The march reads it at the
middle of every segment and tests the points of those segments only that it cannot exclude; the compiled CPU
kernel leaps along the ray instead. Both return exactly the lattice points that lie in occupied cells: no
budget truncates a ray, and there is no loop in the graph.

Bounded scenes: t_i = t_near + (i + jitter) step inside the box. Unbounded scenes: intervals grow
geometrically from the camera, and positions are contracted into a cube (Barron et al. 2022, eq. 10, in
maximum norm, whose unit ball is the scene's box).
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from neurocity.kernels import march as kernels
from neurocity.kernels.rays import address
from neurocity.rendering.cpu_kernels import arrays, kernels_apply
from neurocity.rendering.cuda_kernels import cuda_kernels_apply, device_of
from neurocity.rendering.field_config import MarchedFieldConfig
from neurocity.rendering.graph_target import gather_rows, materialize
from neurocity.rendering.packed import compact
from neurocity.rendering.slabs import finite_inverse, slab_span

FAR: Final = 16.0
"""End of an unbounded ray, in half sides of the scene's cube."""
SEGMENT: Final = 8
"""Lattice points that are tested as one before they are tested one by one: about as many as cross a cell or
two. Longer segments are rarely empty as a whole, shorter ones make more tests."""


class PackedSamples(NamedTuple):
    """Samples of R rays, ray after ray, front to back.

    points [3, N]: in the unit cube that the field lives in. t [N]: depth along the ray, world units.
    delta [N]: interval width as the field sees it, world units times the contraction at the point.
    ray_index [N] int64. offsets [R + 1] int64: first sample of each ray.
    """

    points: Tensor
    t: Tensor
    delta: Tensor
    ray_index: Tensor
    offsets: Tensor


def kept_samples(samples: PackedSamples, mask: Tensor) -> PackedSamples:
    """The samples where mask [N] is true."""
    index, offsets = compact(mask, samples.offsets)
    return PackedSamples(
        gather_rows(samples.points, index),
        gather_rows(samples.t, index),
        gather_rows(samples.delta, index),
        gather_rows(samples.ray_index, index),
        offsets,
    )


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """The entries of a table [T] at an index of any shape; one plain gather in every runtime."""
    return gather_rows(table, index.flatten()).view(index.shape)


def like_columns(vector: Tensor, planes: Tensor) -> Tensor:
    """A vector [3] shaped to broadcast against planes [3, ...]."""
    return vector.view([3] + [1] * (planes.dim() - 1))


class RayMarcher(nn.Module):
    """Marches rays through a scene's box, or through all space when `unbounded`; see `MarchedFieldConfig`."""

    low: Tensor
    high: Tensor
    center: Tensor
    edges: Tensor

    def __init__(self, config: MarchedFieldConfig) -> None:
        super().__init__()
        low, high = torch.tensor(config.scene_bounds[:3]), torch.tensor(config.scene_bounds[3:])
        side = float((high - low).max())
        # TorchScript reads attributes, not globals.
        self.far = FAR * side / 2.0
        self.unbounded = config.unbounded
        self.near = config.near
        self.grid = config.occupancy_resolution
        self.side = side
        self.step = side * 3**0.5 / config.march_steps
        self.growth = config.step_growth
        self.segment = SEGMENT
        self.points = config.march_steps
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("center", (low + high) / 2, persistent=False)
        edges = torch.zeros(2)
        if self.unbounded:
            # Steps inside the box are as in a bounded scene where the cone is thinner than that.
            last = math.log1p(self.growth * self.far / self.step) / self.growth
            index = torch.arange(int(last) + 2, dtype=torch.float64)
            edges = self.near + self.step / self.growth * torch.expm1(self.growth * index)
            self.points = len(edges) - 1
        self.register_buffer("edges", edges.float(), persistent=False)

    def lattice(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, Tensor]:
        """Start depth [R] and number of lattice points [R] (float) of rays given as [3, R] planes."""
        if self.unbounded:
            start = torch.full_like(ray_origins[0], self.near)
            return start, torch.full_like(start, float(self.points))
        inverse = finite_inverse(ray_directions)
        to_low = (self.low[:, None] - ray_origins) * inverse
        to_high = (self.high[:, None] - ray_origins) * inverse
        start, end = slab_span(to_low, to_high, self.near, 0)
        return start, ((end - start) / self.step).floor().clamp(0.0, 1e6)

    def depth_at(self, start: Tensor, index: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Depth and width of lattice intervals; jitter in [0, 1) places the depth in its interval."""
        if self.unbounded:
            cell = index.clamp(0.0, float(self.points - 1)).long()
            begin = look_up(self.edges, cell)
            width = look_up(self.edges, cell + 1) - begin
            return begin + jitter * width, width
        t = start + (index + jitter) * self.step
        return t, torch.full_like(t, self.step)

    @torch.jit.unused
    def lattice_index(self, depth: Tensor) -> Tensor:
        """Index plus jitter of `depth_at`, in one number, of depths [N] along unbounded rays."""
        return torch.log1p((depth - self.near) * (self.growth / self.step)) / self.growth

    def to_unit(self, points: Tensor) -> Tensor:
        """World points [3, ...] -> the unit cube, [3, ...]; bounded scenes put the box's low corner at 0."""
        if not self.unbounded:
            return (points - like_columns(self.low, points)) / self.side
        relative = (points - like_columns(self.center, points)) / (self.side / 2)
        return relative * self.contraction(relative) * 0.25 + 0.5

    def contraction(self, relative: Tensor) -> Tensor:
        """Factor [...] by which points [3, ...] in half sides from the centre move to it; 1 in the cube."""
        norm = relative.abs().amax(0).clamp_min(1.0)
        return (2.0 - 1.0 / norm) / norm

    def optical_width(self, points: Tensor, delta: Tensor) -> Tensor:
        """Interval widths [N] at world points [3, N] as the field sees them.

        Density is a property of contracted space: far intervals, as wide as they are, start as clear as near
        ones.
        """
        if not self.unbounded:
            return delta
        return delta * self.contraction((points - like_columns(self.center, points)) / (self.side / 2))

    def leap(self, points: Tensor, jump: Tensor, speed: Tensor) -> Tensor:
        """Distance that is empty both ways from world points [3, ...]; jump in cells, speed = max |d|."""
        cells = jump.clamp_min(0.0) / speed
        if not self.unbounded:
            return cells * (self.side / self.grid)
        # The contraction stretches no length, in maximum norm, by more than 4/3, nor by more than 8 / m on a
        # way that keeps at least half of the point's norm m.
        norm = ((points - like_columns(self.center, points)) / (self.side / 2)).abs().amax(0)
        return cells * torch.clamp_min(norm / 8.0, 0.75) * (2.0 * self.side / self.grid)

    def forward(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor
    ) -> PackedSamples:
        """The occupied lattice points of rays [3, R] with one jitter [R] a ray (1/2: interval midpoints)."""
        if kernels_apply(ray_origins):
            return self.march_compiled(ray_origins, ray_directions, jump, jitter)
        single = ray_directions.dtype == jump.dtype == jitter.dtype == self.low.dtype == torch.float32
        if cuda_kernels_apply(ray_origins, self.training) and single:
            return self.march_on_cuda(ray_origins, ray_directions, jump, jitter)
        return self.march(ray_origins, ray_directions, jump, jitter)

    @torch.jit.unused
    def march_compiled(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor
    ) -> PackedSamples:
        """`march` by the compiled CPU kernel."""
        cells, edges = arrays(jump, self.edges)
        low, high, center = (tuple(corner.tolist()) for corner in (self.low, self.high, self.center))
        space = kernels.MarchSpace(
            jump=address(cells),
            edges=address(edges),
            grid=self.grid,
            points=self.points,
            unbounded=self.unbounded,
            low=low,
            high=high,
            center=center,
            step=self.step,
            side=self.side,
            near=self.near,
            growth=self.growth,
        )
        origins, directions, jitters = arrays(ray_origins.t(), ray_directions.t(), jitter)
        threads = torch.get_num_threads()
        samples = kernels.march(origins, directions, jitters, space, threads=threads)
        return PackedSamples(*map(torch.from_numpy, samples))

    @torch.jit.unused
    def march_on_cuda(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor
    ) -> PackedSamples:
        """`march` by the kernel for CUDA devices."""
        from neurocity.cuda_kernels.march import march  # noqa: PLC0415, where triton is

        rays = [ray_origins.t(), ray_directions.t(), jitter]
        space = [jump, self.edges, self.low, self.high, self.center]
        sizes = [self.grid, self.points, int(self.unbounded)]
        with device_of(jitter):
            samples = march(rays, space, sizes, [self.step, self.side, self.near, self.growth])
        return PackedSamples(*samples)

    def march(
        self, ray_origins: Tensor, ray_directions: Tensor, jump: Tensor, jitter: Tensor
    ) -> PackedSamples:
        """The definition: find the segments [R, S] that are not surely empty, then test their points."""
        start, count = self.lattice(ray_origins, ray_directions)
        first = torch.arange(0, self.points, self.segment, device=start.device).to(start.dtype)
        begin, _ = self.depth_at(start[:, None], first, jitter[:, None])
        end, _ = self.depth_at(start[:, None], first + (self.segment - 1.0), jitter[:, None])
        middle = ray_origins[:, :, None] + ray_directions[:, :, None] * ((begin + end) * 0.5)
        speed = ray_directions.abs().amax(0)[:, None]
        reach = self.leap(middle, look_up(jump, self.cell(middle)), speed)
        possible = (reach <= (end - begin) * 0.5) & (first < count[:, None])

        ray, number = possible.nonzero().unbind(1)
        within = torch.arange(self.segment, device=start.device).to(start.dtype)
        index = number.to(start.dtype)[:, None] * self.segment + within
        t, delta = self.depth_at(gather_rows(start, ray)[:, None], index, gather_rows(jitter, ray)[:, None])
        points = gather_rows(ray_origins, ray)[:, :, None] + gather_rows(ray_directions, ray)[:, :, None] * t
        hit = (look_up(jump, self.cell(points)) < 0.0) & (index < gather_rows(count, ray)[:, None])

        row, column = hit.nonzero().unbind(1)
        kept = materialize(row * self.segment + column)
        segment_offsets = nn.functional.pad(possible.sum(1).cumsum(0), (1, 0))
        offsets = nn.functional.pad(hit.sum(1).cumsum(0), (1, 0)).index_select(0, segment_offsets)
        sample_points = gather_rows(points.flatten(1), kept)
        return PackedSamples(
            materialize(self.to_unit(sample_points)),
            gather_rows(t.flatten(), kept),
            materialize(self.optical_width(sample_points, gather_rows(delta.flatten(), kept))),
            gather_rows(ray, row),
            offsets,
        )

    def cell(self, points: Tensor) -> Tensor:
        """Occupancy cell of world points [3, ...] -> [...] int64; points outside get a border cell.

        NaN yields index 0, so that no ray reads outside of the grid.
        """
        return self.unit_cell(self.to_unit(points))

    def unit_cell(self, points: Tensor) -> Tensor:
        """As `cell`, of points [3, ...] of the unit cube."""
        x, y, z = (points * self.grid).floor().long().clamp(0, self.grid - 1).unbind(0)
        return x + self.grid * (y + self.grid * z)
