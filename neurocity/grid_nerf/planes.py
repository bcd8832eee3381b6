"""Multi-resolution features of planes and lines (Grid-NeRF, Xu et al. 2023, section 3.1; TensoRF's VM form).

Notation
    C components of a part, S scales, M modes, P = S M parts, N points
    mode   a pair of a plane's axes (u, v) and the remaining axis w of its line; a city has one mode, the
           ground plane and the vertical line, an object all three
    part   a mode at a scale: a plane of n_u x n_v vertices, a line of n_w vertices
    T(x)   feature of a part and component, M(u, v) v(w): bilinear on the plane times linear on the line

The tables hold room for the final resolution from the start. Training begins with few vertices, at the
beginning of each part's rows, and `grow` spreads them over more: no parameter ever changes its shape, so what
optimisers, averages, checkpoints and other processes know of it stays valid.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurocity.kernels import planes as kernels
from neurocity.rendering.cpu_kernels import arrays, kernels_apply

Mode = tuple[int, int, int]
"""Axes (u, v) of a plane and w of its line."""


class PlaneLineFeatures(nn.Module):
    """Products of plane and line features, concatenated over scales, modes and components.

    initial, final: vertices along x, y, z at the finest scale, before training and after the last `grow`.
    modes: planes with their lines. divisors: the finest scale's resolution over each scale's. Entries start
    normal with deviation 0.1 (as in TensoRF).
    """

    axes: Tensor
    sizes: Tensor
    starts: Tensor
    room: Tensor

    def __init__(
        self,
        *,
        initial: Sequence[int],
        final: Sequence[int],
        modes: Sequence[Mode],
        divisors: Sequence[int],
        components: int,
    ) -> None:
        super().__init__()
        self.modes, self.divisors = tuple(modes), tuple(divisors)
        room = part_sizes(final, modes, divisors)
        plane_rows, line_rows = room[:, 0] * room[:, 1], room[:, 2]
        starts = torch.stack([plane_rows.cumsum(0) - plane_rows, line_rows.cumsum(0) - line_rows], dim=1)
        self.planes = nn.Parameter(0.1 * torch.randn(int(plane_rows.sum()), components))
        self.lines = nn.Parameter(0.1 * torch.randn(int(line_rows.sum()), components))
        axes = torch.tensor([mode for _ in divisors for mode in modes])
        self.register_buffer("axes", axes, persistent=False)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("room", room, persistent=False)
        self.register_buffer("sizes", part_sizes(initial, modes, divisors))

    @property
    def width(self) -> int:
        """Number of features of a point, P C."""
        return self.axes.shape[0] * self.planes.shape[1]

    def forward(self, points: Tensor) -> Tensor:
        """points [3, N] in [0, 1], along the box -> features [N, P C], finest scale first."""
        if kernels_apply(points) and self.planes.dtype == torch.float32:
            return self.encode_compiled(points)
        return self.encode(points)

    @torch.jit.unused
    def encode_compiled(self, points: Tensor) -> Tensor:
        """`encode` by the compiled CPU kernel."""
        layout = arrays(*(part.to(torch.int32) for part in (self.axes, self.sizes, self.starts)))
        encoded: Tensor = PlaneLineCPU.apply(points, self.planes, self.lines, layout)
        return encoded

    def encode(self, points: Tensor) -> Tensor:
        """The definition, in planes of [P, N] with the four corners and two ends unrolled."""
        axis_u, axis_v, axis_w = self.axes.unbind(1)
        size_u, size_v, size_w = self.sizes[:, :, None].unbind(1)
        plane_start, line_start = self.starts[:, :, None].unbind(1)
        iu, fu = cell(points.index_select(0, axis_u), size_u)
        iv, fv = cell(points.index_select(0, axis_v), size_v)
        iw, fw = cell(points.index_select(0, axis_w), size_w)
        near, line = plane_start + iv * size_u + iu, line_start + iw
        on_plane = (
            lerp_rows(self.planes, near, fu) * (1.0 - fv) + lerp_rows(self.planes, near + size_u, fu) * fv
        )
        return (on_plane * lerp_rows(self.lines, line, fw)).transpose(0, 1).flatten(1)

    def grids_in_use(self, planes: Tensor, lines: Tensor) -> list[Tensor]:
        """The entries in use as grids: of every part the plane [n_v, n_u, C] and the line [n_w, 1, C].

        They share the memory of the tables, which may be the parameters or anything of their shapes: an
        optimiser's moments, gradients.
        """
        grids = []
        for (u, v, w), (plane, line) in zip(self.sizes.tolist(), self.starts.tolist(), strict=True):
            grids += [planes[plane : plane + u * v].view(v, u, -1), lines[line : line + w, None]]
        return grids

    @torch.jit.unused
    def smaller_than(self, vertices: Sequence[int]) -> bool:
        """Whether `grow` to so many vertices along x, y, z would add some."""
        sizes = part_sizes(vertices, self.modes, self.divisors).to(self.sizes.device)
        return bool((self.sizes < sizes).any())

    @torch.no_grad()
    def grow(self, vertices: Sequence[int], also: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        """Spread the entries over more vertices along x, y, z (of the finest scale) by interpolation.

        also: further pairs of tables, shaped as `planes` and `lines`, that belong to the entries and spread
        with them. Raises ValueError when the tables have no room for so many vertices.
        """
        sizes = part_sizes(vertices, self.modes, self.divisors).to(self.sizes.device)
        if bool((sizes > self.room).any()):
            raise ValueError(f"vertices: got {tuple(vertices)}, there is room for {self.room[0].tolist()}")
        tables = [(self.planes.data, self.lines.data), *also]
        before = [self.grids_in_use(*pair) for pair in tables]
        self.sizes.copy_(sizes)
        after = [self.grids_in_use(*pair) for pair in tables]
        # A part's new place covers its old one, and no other part's.
        for old, new in zip(before, after, strict=True):
            for grid, place in zip(old, new, strict=True):
                place.copy_(resampled(grid, place.shape[0], place.shape[1]))


class PlaneLineCPU(torch.autograd.Function):
    """points [3, N] in [0, 1], tables [rows, C] -> features [N, P C]; differentiable in the tables only.

    layout: axes, sizes and starts of `kernels.PlaneTables`.
    """

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, planes: Tensor, lines: Tensor, layout: tuple[kernels.Integers, ...]
    ) -> Tensor:
        ctx.save_for_backward(points, planes, lines)
        ctx.layout = layout
        places, plane_rows, line_rows = arrays(points, planes, lines)
        tables = kernels.PlaneTables(plane_rows, line_rows, *layout)
        return torch.from_numpy(kernels.encode(places, tables, threads=torch.get_num_threads()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        places, plane_rows, line_rows, gradients = arrays(*ctx.saved_tensors, gradient)
        tables = kernels.PlaneTables(plane_rows, line_rows, *ctx.layout)
        found = kernels.table_gradients(places, gradients, tables, threads=torch.get_num_threads())
        return None, *map(torch.from_numpy, found), None


def part_sizes(vertices: Sequence[int], modes: Sequence[Mode], divisors: Sequence[int]) -> Tensor:
    """Vertices [P, 3] along (u, v, w) of every part.

    vertices: of the finest scale along x, y, z.
    """
    return torch.tensor(
        [[max(2, round(vertices[axis] / divisor)) for axis in mode] for divisor in divisors for mode in modes]
    )


def cell(coordinates: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Lower vertex [P, N] and fraction [P, N, 1] of coordinates [P, N] in [0, 1] among `size` [P, 1]."""
    position = coordinates * (size - 1).to(coordinates.dtype)
    lower = torch.minimum(position.floor(), (size - 2).to(coordinates.dtype))
    return lower.long(), (position - lower)[:, :, None]


def lerp_rows(table: Tensor, row: Tensor, fraction: Tensor) -> Tensor:
    """Linear interpolation [P, N, C] between rows [P, N] of a table [rows, C] and those that follow them."""
    lower, upper = nn.functional.embedding(row, table), nn.functional.embedding(row + 1, table)
    return lower.to(fraction.dtype) * (1.0 - fraction) + upper.to(fraction.dtype) * fraction


def resampled(grid: Tensor, height: int, width: int) -> Tensor:
    """A grid [h, w, C] at height x width vertices, corners on corners."""
    image = grid.permute(2, 0, 1)[None]
    wider = nn.functional.interpolate(image, (height, width), mode="bilinear", align_corners=True)
    return wider[0].permute(1, 2, 0)


def sparsity(features: PlaneLineFeatures) -> Tensor:
    """Sum over planes and lines of the mean absolute entry in use (TensoRF, section 4.3)."""
    grids = features.grids_in_use(features.planes, features.lines)
    return torch.stack([grid.abs().mean() for grid in grids]).sum()


def total_variation(features: PlaneLineFeatures) -> Tensor:
    """Sum of the mean squared difference of neighbours along each axis of them (TensoRF, section 4.3)."""
    terms = []
    for grid in features.grids_in_use(features.planes, features.lines):
        terms += [(grid[1:] - grid[:-1]).square().mean()]
        if grid.shape[1] > 1:
            terms += [(grid[:, 1:] - grid[:, :-1]).square().mean()]
    return torch.stack(terms).sum()
