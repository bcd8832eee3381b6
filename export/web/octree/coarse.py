"""Inner cells as if they were voxels: what a picture has where it ends at their level.

From below upwards, an inner cell gets the colour of its children, weighted by their opacity, and densities at
its corners, which it shares with the inner cells of its level that touch it. These begin as means of the
octants around a corner, an empty one being 0; some rounds then bring the mean density of each cell back to
that of what it stands for.

Notation
    density  activated, per unit of `density_scale`; raw before activation
"""

from dataclasses import dataclass

import numpy as np

from export.web.octree.cells import CORNERS, Cells
from export.web.octree.lattice import Points

_ROUNDS = 6
_LEAST = 1e-12
_MIDDLES = np.where(CORNERS[:, None] == CORNERS[None], 0.75, 0.25).prod(2).astype(np.float32)
"""Weights [8, 8] of corners in the trilinear value at the middle of each octant."""


@dataclass
class Matter:
    """What cells have: raw densities of corners [C, 8], and colours' coefficients [C, K, 3], float32."""

    corners: np.ndarray
    colours: np.ndarray


def activated(raw: np.ndarray) -> np.ndarray:
    """Densities of raw ones, float32."""
    return np.where(raw > 1.1, raw, np.exp(np.minimum(raw, 1.1) / 1.1 - np.float32(0.904689820196)))


def raw_of(density: np.ndarray) -> np.ndarray:
    """Inverse of `activated`, of positive densities."""
    return np.where(density > 1.1, density, 1.1 * (np.log(np.minimum(density, 1.1)) + 0.904689820196))


def mean_density(corners: np.ndarray) -> np.ndarray:
    """Of cells with raw densities of corners [n, 8]: the mean over the middles of octants, [n]."""
    mean: np.ndarray = activated(corners @ _MIDDLES.T).mean(1)
    return mean


def fill_inner_cells(
    cells: Cells,
    lattices: tuple[Points, ...],
    matter: Matter,
    depth_across: float,
    limits: tuple[float, float],
) -> tuple[np.ndarray, ...]:
    """Writes the inner cells of `matter`, whose voxels are there; returns raw densities of inner points by
    level.

    lattices: of inner cells, by level. depth_across: optical depth across the octree at density 1. limits: of
    raw densities.
    """
    voxels = np.flatnonzero(~cells.inner)
    density = np.empty(len(cells), np.float32)
    density[voxels] = mean_density(matter.corners[voxels])
    points = [np.empty(0, np.float32)] * (cells.deepest + 1)
    for level in reversed(range(cells.deepest)):
        here, below = cells.slices()[level : level + 2]
        inner = here.start + np.flatnonzero(cells.inner[here])
        # Children of a cell are consecutive, and every inner cell has some.
        first = np.searchsorted(cells.parent[below], inner)
        row = np.searchsorted(inner, cells.parent[below])
        opacity = -np.expm1(-density[below] * np.float32(depth_across / 2 ** (level + 1)))
        weight = np.maximum(opacity, np.float32(_LEAST))[:, None, None]
        mixed = np.add.reduceat(weight * matter.colours[below], first, axis=0)
        matter.colours[inner] = mixed / np.add.reduceat(weight, first, axis=0)
        octants = np.zeros((len(inner), 8), np.float32)
        octants[row, cells.octant[below]] = density[below]
        density[inner] = octants.mean(1)
        which = lattices[level].which
        points[level] = _corner_densities(which, octants, limits)
        matter.corners[inner] = points[level][which]
    return tuple(points)


def _corner_densities(which: np.ndarray, octants: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Raw densities of the points, so that cells have the mean density of their octants [n, 8].

    which [n, 8]: the point of each corner.
    """
    wanted = np.maximum(octants.mean(1), _LEAST)
    touching = np.bincount(which.ravel())
    value = np.bincount(which.ravel(), octants.ravel()) / touching
    # A cell with little in it may bend its neighbours' corners little.
    weight = np.repeat(wanted, 8)
    weights = np.bincount(which.ravel(), weight)
    low, high = limits
    for _ in range(_ROUNDS):
        raw = raw_of(np.maximum(value, _LEAST)).clip(low, high).astype(np.float32)
        error = np.log(wanted / np.maximum(mean_density(raw[which]), _LEAST))
        value = activated(raw) * np.exp(np.bincount(which.ravel(), weight * np.repeat(error, 8)) / weights)
    raw = raw_of(np.maximum(value, _LEAST)).clip(low, high).astype(np.float32)
    return raw
