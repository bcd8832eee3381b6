"""Where a scene can hold matter, from its cameras and the transparency of its images (Laurentini 1994)."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from neurocity.cameras import Camera

LEVELS: Final = 3
"""The hull is carved at 1/4 and 1/2 of the resolution first; only what survives is split and carved again."""


def possible_cells(
    views: Sequence[tuple[Camera, Tensor]],
    *,
    low: Sequence[float],
    side: float,
    resolution: int,
    on_view: Callable[[], None] | None = None,
) -> Tensor:
    """Cells of a cube [resolution^3] bool, x fastest, that some camera sees and none sees through.

    views: cameras with their images' alpha [H, W] in [0, 1]. low, side: the cube's low corner and edge, world
    units. Conservative: a cell is excluded by a view only if its circumscribed sphere projects onto pixels
    that are all fully transparent.
    """
    cells = torch.zeros(1, 3, dtype=torch.int64)
    grid = 1
    for level in reversed(range(LEVELS)):
        finer = max(1, resolution >> level)
        if resolution % finer:
            continue
        factor = finer // grid
        cells = _split(cells, factor)
        grid = finer
        size = side / grid
        centers = (cells.double().numpy() + 0.5) * size + np.asarray(low, dtype=np.float64)
        kept = np.arange(len(cells))
        seen = np.zeros(len(cells), dtype=np.bool_)
        for camera, alpha in views:
            inside, empty = _look(camera, alpha, centers[kept], size * math.sqrt(3.0) / 2.0)
            seen[kept[inside]] = True
            kept = kept[~empty]
            if on_view is not None:
                on_view()
        cells = cells[torch.from_numpy(kept[seen[kept]])]
    possible = torch.zeros(resolution**3, dtype=torch.bool)
    possible[cells[:, 0] + resolution * (cells[:, 1] + resolution * cells[:, 2])] = True
    return possible


def _split(cells: Tensor, factor: int) -> Tensor:
    """Each cell [N, 3] as its factor^3 parts."""
    steps = torch.arange(factor)
    parts = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).view(-1, 3)
    return (cells[:, None] * factor + parts).view(-1, 3)


def _look(camera: Camera, alpha: Tensor, centers: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Which spheres around `centers` [N, 3] a camera sees, and which of them it sees through."""
    pixels, depth = camera.project(centers)
    with np.errstate(invalid="ignore"):
        columns, rows = np.floor(pixels[:, 0]), np.floor(pixels[:, 1])
        inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    # A sphere that reaches the camera's plane has no bounded projection: it is seen, and excluded by nothing.
    inside &= depth > 2.0 * radius
    empty = np.zeros(len(centers), dtype=np.bool_)
    if not inside.any():
        return inside, empty
    reach = max(camera.fl_x, camera.fl_y) * radius / (depth[inside].min() - radius)
    pad = math.ceil(reach)
    if pad < min(camera.width, camera.height):
        grown = nn.functional.max_pool2d(alpha[None, None], 2 * pad + 1, stride=1, padding=pad)[0, 0].numpy()
        empty[inside] = grown[rows[inside].astype(np.int64), columns[inside].astype(np.int64)] == 0.0
    return inside, empty
