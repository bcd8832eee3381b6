"""How much sky every point of a mesh sees: baked once on a grid over every patch, then interpolated.

Baking keeps the soft shading free of noise and equal from every view, and costs a fraction of casting sky
rays per pixel.
"""

import math

import numpy as np
import numpy.typing as npt

from neurocity.data.city.mesh import Mesh
from neurocity.data.city.raycast import Hits, RayCaster

CELL = 1.4
CELLS_MAX = 96
CELLS_OPEN = 8
"""Patches longer than CELLS_MAX cells are open country, which is evenly lit."""
DIRECTIONS = 56
POINTS_AT_ONCE = 500_000
INSET = 0.25
LIFT = 0.03


class SkyLight:
    """Sky visibility of a mesh: 1 on open flat ground, 0.5 on an open wall, 0 where no sky is seen."""

    def __init__(self, mesh: Mesh, caster: RayCaster) -> None:
        cells = np.ceil(mesh.lengths / CELL).astype(np.int64)
        cells[cells > CELLS_MAX] = CELLS_OPEN
        cells[mesh.is_triangle] = 1
        self._cells = cells
        counts = (cells + 1).prod(axis=1)
        ends = np.cumsum(counts)
        self._start = np.concatenate([[0], ends[:-1]])
        self._visibility = np.empty(ends[-1], dtype=np.float32)
        # A part of the city at a time, since points take many times the memory of what is known of them then.
        first = 0
        while first < len(counts):
            last = max(int(np.searchsorted(ends, self._start[first] + POINTS_AT_ONCE)), first + 1)
            chosen = slice(first, last)
            points = slice(self._start[first], ends[last - 1])
            self._visibility[points] = _of_patches(mesh.part(chosen), caster, cells[chosen])
            first = last
        # A triangle has no fourth corner: extrapolate it, so that interpolation becomes linear.
        values, first = self._visibility, self._start[mesh.is_triangle]
        values[first + 3] = values[first + 1] + values[first + 2] - values[first]

    def at(self, hits: Hits) -> npt.NDArray[np.float32]:
        """[R] sky visibility at hits that are all on patches (none a miss)."""
        cells = self._cells[hits.patch]
        stride = cells[:, 0] + 1
        x = np.clip(hits.u, 0, 1) * cells[:, 0]
        y = np.clip(hits.v, 0, 1) * cells[:, 1]
        column = np.minimum(x.astype(np.int64), cells[:, 0] - 1)
        row = np.minimum(y.astype(np.int64), cells[:, 1] - 1)
        fx, fy = x - column, y - row
        low = self._start[hits.patch] + row * stride + column
        values = self._visibility
        bottom = values[low] + fx * (values[low + 1] - values[low])
        high = low + stride
        top = values[high] + fx * (values[high + 1] - values[high])
        return np.asarray(bottom + fy * (top - bottom), dtype=np.float32)


def _of_patches(mesh: Mesh, caster: RayCaster, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Sky visibility of the grid points of all patches of a mesh."""
    counts = (cells + 1).prod(axis=1)
    patch = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(patch)) - (np.cumsum(counts) - counts)[patch]
    position, normal = _grid_points(mesh, cells, patch=patch, index=index)
    round_ = np.isfinite(mesh.center[patch, 0])
    visibility = np.empty(len(patch), dtype=np.float32)
    visibility[~round_] = _visibility(caster, position[~round_], normal[~round_])
    # The triangles of rounded things meet in common points: look at the sky from each of them once.
    points = np.concatenate([position[round_], normal[round_]], axis=1).round(5)
    points, of_point = np.unique(points, axis=0, return_inverse=True)
    visibility[round_] = _visibility(caster, points[:, :3], points[:, 3:])[of_point.reshape(-1)]
    return visibility


def _grid_points(
    mesh: Mesh, cells: npt.NDArray[np.int64], *, patch: npt.NDArray[np.int64], index: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positions and shading normals [G, 3] of the grid points.

    On flat patches they are pulled in from the rim, where they would lie inside the neighbouring surface.
    """
    stride = cells[patch, 0] + 1
    uv = np.stack([index % stride / cells[patch, 0], index // stride / cells[patch, 1]], axis=1)
    margin = np.minimum(INSET / np.maximum(mesh.lengths[patch], 1e-6), 0.3)
    triangle = mesh.is_triangle[patch]
    inside = np.clip(uv, margin, 1 - margin)
    # The fourth point of a triangle is not on it: its value is extrapolated from the others.
    on_triangle = np.where(uv[triangle].sum(axis=1, keepdims=True) > 1, (0.0, 1.0), uv[triangle])
    round_ = np.isfinite(mesh.center[patch, 0])
    inside[triangle] = np.where(round_[triangle, None], on_triangle, on_triangle * 0.8 + 0.2 / 3)
    position = mesh.corner[patch] + inside[:, :1] * mesh.edge_u[patch] + inside[:, 1:] * mesh.edge_v[patch]
    normal = mesh.normals[patch]
    outwards = position[round_] - mesh.center[patch[round_]]
    normal[round_] = outwards / np.linalg.norm(outwards, axis=1, keepdims=True)
    return position + LIFT * normal, normal


def _visibility(
    caster: RayCaster, position: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Cosine-weighted share of an even sky that is seen (Fibonacci directions on the upper hemisphere)."""
    height = (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    angle = np.arange(DIRECTIONS) * math.pi * (3 - math.sqrt(5))
    flat = np.sqrt(1 - height**2)
    sky = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=1)
    seen = np.zeros(len(position))
    for direction in sky:
        cosine = normal @ direction
        facing = np.flatnonzero(cosine > 0)
        rays = np.broadcast_to(direction, (len(facing), 3))
        clear = ~caster.occluded(position[facing], rays)
        seen[facing] += cosine[facing] * clear
    return np.asarray(seen / height.sum(), dtype=np.float32)
