"""SVRaster one ray and one voxel at a time in double precision: every voxel is tried against every ray."""

import math
from typing import NamedTuple

import numpy as np

from neurocity.svraster.core import SVRaster

from . import spherical_harmonics


class Crossing(NamedTuple):
    """A voxel and the depths between which a ray is in it."""

    voxel: int
    near: float
    far: float


def cross_box(
    origin: np.ndarray, direction: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[float, float]:
    """Depths at which a line enters and leaves a box that has its low faces and not its high ones.

    Empty (near >= far) where it misses.
    """
    near, far = -math.inf, math.inf
    for o, d, a, b in zip(origin, direction, low, high, strict=True):
        if d == 0.0:
            if not a <= o < b:
                return math.inf, -math.inf
        else:
            near, far = max(near, min((a - o) / d, (b - o) / d)), min(far, max((a - o) / d, (b - o) / d))
    return near, far


def boxes(model: SVRaster) -> tuple[np.ndarray, np.ndarray]:
    """Low and high corners [N, 3] of all voxels, world units."""
    config = model.config
    low, high = np.array(config.scene_bounds[:3]), np.array(config.scene_bounds[3:])
    side = max(high - low) * 2.0 ** (config.outside_levels if config.unbounded else 0)
    sizes = side * 0.5 ** model.voxel_level.double().numpy()[:, None]
    corners = (low + high) / 2 - side / 2 + model.voxel_cell.double().numpy() * sizes
    return corners, corners + sizes


def traverse(model: SVRaster, origin: np.ndarray, direction: np.ndarray) -> list[Crossing]:
    """The voxels that a ray crosses over a positive length, nearest first."""
    found = []
    for voxel, (low, high) in enumerate(zip(*boxes(model), strict=True)):
        near, far = cross_box(origin, direction, low, high)
        near = max(near, model.config.near)
        if near < far:
            found.append(Crossing(voxel, near, far))
    return sorted(found, key=lambda crossing: crossing.near + crossing.far)


def explin(raw: float) -> float:
    """Exponential up to 1.1, the identity beyond."""
    return raw if raw > 1.1 else 1.1 * math.exp(raw / 1.1 - 1.0)


def raw_density(model: SVRaster, voxel: int, inside: np.ndarray) -> float:
    """Trilinear interpolation at a place in [0, 1]^3 of a voxel, as a sum over its corners."""
    total = 0.0
    for corner in range(8):
        weight = 1.0
        for axis, bit in enumerate((4, 2, 1)):
            weight *= inside[axis] if corner & bit else 1.0 - inside[axis]
        total += weight * model.density[model.voxel_points[voxel, corner]].item()
    return total


def color(model: SVRaster, voxel: int, view: np.ndarray) -> np.ndarray:
    """Colour [3] of a voxel seen along a unit vector, clamped to [0, 1]."""
    basis = spherical_harmonics.values(view)
    value = 0.5 + basis[0] * model.sh0[voxel].detach().double().numpy()
    for k, coefficients in enumerate(model.shs[voxel].detach().double().numpy()):
        value = value + basis[1 + k] * coefficients
    return np.clip(value, 0.0, 1.0)


def render_ray(model: SVRaster, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """rgb [3], depth and opacity of one ray, without a sky, as `neurocity.contract` defines them."""
    config = model.config
    side = max(np.array(config.scene_bounds[3:]) - np.array(config.scene_bounds[:3]))
    lows, highs = boxes(model)
    light, distance, opacity, left = np.zeros(3), 0.0, 0.0, 1.0
    for voxel, near, far in traverse(model, origin, direction):
        low, high = lows[voxel], highs[voxel]
        width = (far - near) / config.samples_per_voxel
        tau = 0.0
        for index in range(config.samples_per_voxel):
            place = origin + (near + (index + 0.5) * width) * direction
            tau += 300.0 / side * width * explin(raw_density(model, voxel, (place - low) / (high - low)))
        # The last 1e-4 of the light ends the ray; what was seen until then is scaled up to it.
        weight = (max(left, 1e-4) - max(left * math.exp(-tau), 1e-4)) / (1.0 - 1e-4)
        left *= math.exp(-tau)
        view = (low + high) / 2 - origin
        light += weight * color(model, voxel, view / np.linalg.norm(view))
        distance += weight * (near + far) / 2
        opacity += weight
    return light, distance / max(opacity, 1e-6), opacity
