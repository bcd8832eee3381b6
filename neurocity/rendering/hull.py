"""Where a scene can hold matter, from its cameras and the transparency of its images (Laurentini 1994)."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final

import numpy as np
import torch
from torch import Tensor

from neurocity.cameras import Camera

LEVELS: Final = 3
"""The hull is carved at 1/4 and 1/2 of the resolution first; only what survives is split and carved again."""
BLOCK: Final = 2**15
"""Cells that are carved together, on one thread."""


def possible_cells(
    views: Sequence[tuple[Camera, Tensor]], *, low: Sequence[float], side: float, resolution: int
) -> Tensor:
    """Cells of a cube [resolution^3] bool, x fastest, that some camera sees and none sees through.

    views: cameras with their images' alpha [H, W] in [0, 1]. low, side: the cube's low corner and edge, world
    units. Conservative: a cell is seen if any part of its circumscribed sphere may be in a picture, and is
    excluded by a view only if the sphere lies wholly in the picture, on fully transparent pixels.
    """
    pictures = [_Picture(camera, alpha) for camera, alpha in views]
    cells = torch.zeros(1, 3, dtype=torch.int64)
    grid = 1
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for level in reversed(range(LEVELS)):
            finer = max(1, resolution >> level)
            if resolution % finer:
                continue
            factor = finer // grid
            parts = torch.cartesian_prod(*[torch.arange(factor)] * 3)
            cells = (cells[:, None] * factor + parts).view(-1, 3)
            grid = finer
            size = side / grid
            centers = (cells.double().numpy() + 0.5) * size + np.asarray(low, dtype=np.float64)
            blocks = [centers[first : first + BLOCK] for first in range(0, len(centers), BLOCK)]
            kept = pool.map(partial(_survivors, pictures, size * math.sqrt(3.0) / 2.0), blocks)
            cells = cells[torch.from_numpy(np.concatenate([np.zeros(0, np.bool_), *kept]))]
    possible = torch.zeros(resolution**3, dtype=torch.bool)
    possible[cells[:, 0] + resolution * (cells[:, 1] + resolution * cells[:, 2])] = True
    return possible


class _Picture:
    """A camera, and what its image's alpha [H, W] shows."""

    def __init__(self, camera: Camera, alpha: Tensor) -> None:
        self.camera = camera
        self.pixels_per_radian = _pixels_per_radian(camera)
        self.near_matter = cache(partial(_near_matter, alpha))


def _survivors(pictures: Sequence[_Picture], radius: float, centers: np.ndarray) -> np.ndarray:
    """Which spheres around `centers` [N, 3] some picture sees and none sees through."""
    kept = np.arange(len(centers))
    seen = np.zeros(len(centers), dtype=np.bool_)
    for picture in pictures:
        inside, empty = _look(picture, centers[kept], radius)
        seen[kept[inside]] = True
        kept = kept[~empty]
    survivors = np.zeros(len(centers), dtype=np.bool_)
    survivors[kept] = seen[kept]
    return survivors


def _look(picture: _Picture, centers: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Which spheres around `centers` [N, 3] are in a picture, at least partly, and which it sees through."""
    camera = picture.camera
    pixels, depth = camera.project(centers)
    offsets = centers - camera.position
    distance = np.sqrt(np.einsum("ni,ni->n", offsets, offsets))
    # A sphere around the camera, or nearly so, has no bounded projection: no picture excludes it.
    close = distance < 4.0 * radius
    reach = picture.pixels_per_radian * np.arcsin(radius / np.maximum(distance, 4.0 * radius))
    x, y = pixels.T
    with np.errstate(invalid="ignore"):
        outside = np.maximum(np.maximum(-x, x - camera.width), np.maximum(-y, y - camera.height))
        seen = (outside < 1.0 + 1.5 * reach) | (close & (depth > -radius))
        inside = (outside < 0.0) & ~close
    empty = np.zeros(len(centers), dtype=np.bool_)
    pad = math.ceil(reach[inside].max(initial=0.0))
    if inside.any() and 2 * pad < min(camera.width, camera.height):
        columns, rows = pixels[inside].astype(np.int64).T
        empty[inside] = ~picture.near_matter(pad)[rows, columns]
    return seen, empty


def _pixels_per_radian(camera: Camera) -> float:
    """How many pixels a small angle covers where the picture magnifies most, on a grid over the picture."""
    columns, rows = np.meshgrid(np.linspace(0.0, camera.width, 9), np.linspace(0.0, camera.height, 9))
    places = np.stack([columns.ravel(), rows.ravel()], -1)
    steps = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0)])
    plane = (places + steps[:, None] - (camera.cx, camera.cy)) / (camera.fl_x, camera.fl_y)
    base, *moved = camera.lens.unproject(plane.reshape(-1, 2)).reshape(len(steps), -1, 3)
    angles = np.linalg.norm(np.stack(moved) - base, axis=-1)
    return float(np.nanmax(np.linalg.norm(steps[1:], axis=1)[:, None] / angles))


def _near_matter(alpha: Tensor, pad: int) -> np.ndarray:
    """Where a square of 2 pad + 1 pixels has one that is not fully transparent, [H, W] bool.

    Beyond the border of alpha [H, W] all is taken as opaque.
    """
    near = np.pad(alpha.numpy() > 0.0, pad, constant_values=True)
    for axis in range(2):
        covered = 1
        while covered < 2 * pad + 1:
            step = min(covered, 2 * pad + 1 - covered)
            rows = np.moveaxis(near, axis, 0)
            near = np.moveaxis(rows[step:] | rows[:-step], 0, axis)
            covered += step
    return near
