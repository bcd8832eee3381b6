"""What a composed city is, in PyTorch: the light of all voxels of all parts, in order along each ray.

Slow and independent of how cities are rendered: nothing here knows cells, blocks or their order.

Notation
    K voxels on R rays, of all parts; left: the share of light that reaches a voxel
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from neurocity.cameras import Rays
from neurocity.contract import DEPTH_EPSILON
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.spherical_harmonics import spherical_harmonics
from neurocity.svraster.core import SVRaster

Array = npt.NDArray[np.float64]
CHUNK = 2048
"""Rays at a time."""


def defined_light(parts: Sequence[SVRaster], sky: SVRaster, rays: Rays) -> Light:
    """The light of rays. parts: models that share no space. sky: the one whose sky is behind all."""
    chunks = [_light(parts, sky, rays[slice(at, at + CHUNK)]) for at in range(0, len(rays), CHUNK)]
    return Light(*map(np.concatenate, zip(*chunks, strict=True)))


@torch.no_grad()
def _light(parts: Sequence[SVRaster], sky: SVRaster, rays: Rays) -> Light:
    count = len(rays)
    origins, directions = (torch.from_numpy(plane).t() for plane in rays.arrays())
    with without_kernels():
        found = [_voxels(part, origins, directions) for part in parts]
    near, far, depth, rgb = (np.concatenate([part[name] for part in found]) for name in range(1, 5))
    ray = np.concatenate([part[0] for part in found]).astype(np.int64)
    order = np.lexsort((near, ray))
    ray, near, far, depth, rgb = ray[order], near[order], far[order], depth[order], rgb[order]
    # Depth passed before each voxel: the running sum, less what it was where the ray's own voxels begin.
    passed = np.cumsum(depth) - depth
    first = np.searchsorted(ray, ray)
    left = np.exp(-(passed - passed[first]))
    least = sky.least_light
    weight = np.minimum(left * -np.expm1(-depth), np.maximum(left - least, 0.0)) / (1.0 - least)

    def summed(values: Array) -> Array:
        return np.bincount(ray, values, count).astype(np.float64)

    opacity = summed(weight)
    light = np.stack([summed(weight * rgb[:, channel]) for channel in range(3)], axis=1)
    distance = summed(weight * 0.5 * (near + far)) / np.maximum(opacity, DEPTH_EPSILON)
    if sky.sky_enabled:
        rest = np.maximum(1.0 - opacity, 0.0)
        behind = sky.sky_net(spherical_harmonics(directions)).double().numpy()
        light, distance = light + rest[:, None] * behind, distance * opacity + rest * sky.far
        opacity = np.ones(count)
    return Light(*(plane.astype(np.float32) for plane in (light, distance, opacity)))


def _voxels(part: SVRaster, origins: torch.Tensor, directions: torch.Tensor) -> tuple[Array, ...]:
    """Ray, near, far and optical depth [K], and colour [K, 3], of the voxels that rays [3, R] meet."""
    found = part.traverse(origins, directions)
    depth = part.optical_depth(found, origins, directions)
    rgb = part.colors(found.voxel, origins, found.ray_index, part.basis_size).clamp(0.0, part.brightest)
    planes = (found.near, found.far, depth, rgb)
    return (found.ray_index.numpy(), *(plane.double().numpy() for plane in planes))
