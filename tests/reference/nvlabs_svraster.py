"""NVlabs' SVRaster one ray and one voxel at a time in double precision, from the dictionary in its file.

It keeps the small cuts of their renderer that ours does not make: of intervals that are all but clear or
opaque, and of rays that are all but dark.
"""

import math
from typing import Any

import numpy as np

from . import spherical_harmonics
from .svraster import cross_box, explin


def voxels(content: dict[str, Any]) -> list[tuple[np.ndarray, float, list[tuple[int, int, int]]]]:
    """Of each voxel its low corner and side, world units, and its corners on the lattice of level 16."""
    extent, center = content["scene_extent"].item(), content["scene_center"].double().numpy()
    found = []
    for path, level in zip(content["octpath"].flatten(), content["octlevel"].flatten(), strict=True):
        cell = np.zeros(3, dtype=np.int64)
        for depth in range(int(level)):
            octant = int(path) >> 45 - 3 * depth & 7
            cell = 2 * cell + [octant >> 2, octant >> 1 & 1, octant & 1]
        side = extent / 2 ** int(level)
        step = 2 ** (16 - int(level))
        corners = [
            tuple(int((cell[axis] + (bits >> 2 - axis & 1)) * step) for axis in range(3)) for bits in range(8)
        ]
        found.append((center - extent / 2 + cell * side, side, corners))
    return found


def render_ray(
    content: dict[str, Any], origin: np.ndarray, direction: np.ndarray, samples: int = 1
) -> tuple[np.ndarray, float, float]:
    """rgb [3], depth and opacity, as `neurocity.contract` has them, of a ray from outside of all voxels."""
    layout = voxels(content)
    points = sorted({point for _, _, corners in layout for point in corners})
    density = dict(zip(points, content["_geo_grid_pts"].flatten().tolist(), strict=True))
    crossed = []
    for voxel, (low, side, _) in enumerate(layout):
        near, far = cross_box(origin, direction, low, low + side)
        if 0.0 < near < far:
            crossed.append((near, far, voxel))
    light, distance, left = np.zeros(3), 0.0, 1.0
    for near, far, voxel in sorted(crossed):
        low, side, corners = layout[voxel]
        width = (far - near) / samples
        depth = 0.0
        for index in range(samples):
            place = (origin + (near + (index + 0.5) * width) * direction - low) / side
            raw = 0.0
            for bits, corner in enumerate(corners):
                inside = [place[axis] if bits >> 2 - axis & 1 else 1.0 - place[axis] for axis in range(3)]
                raw += math.prod(inside) * density[corner]
            depth += 100.0 * width * explin(raw)
        alpha = min(0.99999, 1.0 - math.exp(-depth))
        if alpha < 1e-5:
            continue
        light += left * alpha * _color(content, voxel, low + side / 2 - origin)
        distance += left * alpha * (near + far) / 2
        left *= 1.0 - alpha
        if left < 1e-4:
            break
    return light, distance / max(1.0 - left, 1e-6), 1.0 - left


def _color(content: dict[str, Any], voxel: int, view: np.ndarray) -> np.ndarray:
    basis = spherical_harmonics.values(view / np.linalg.norm(view))
    coefficients = content["_shs"][voxel].double().numpy()
    value = 0.5 + basis[0] * content["_sh0"][voxel].double().numpy()
    for k in range((content["active_sh_degree"] + 1) ** 2 - 1):
        value = value + basis[1 + k] * coefficients[k]
    return np.maximum(value, 0.0)
