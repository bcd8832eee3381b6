"""Compiled CPU kernel of the render graph: rays from octree to light, in the arithmetic of `shading`.

numba's cache knows a kernel by the text of its own file alone. When `traversal_kernels` changes, change this
number here and in `voxel_kernels`, or processes go on with what they compiled before: 2.
"""

from functools import partial

import numba
import numpy as np
import torch
from torch import Tensor

from neurocity.rendering.cpu_kernels import arrays, run_parallel, split
from neurocity.rendering.render import RayRender
from neurocity.svraster.shading import END_LIGHT, FAINTEST
from neurocity.svraster.traversal_kernels import STACK, enter, next_voxel


@numba.njit(nogil=True, error_model="numpy")
def explin(raw):  # type: ignore[no-untyped-def]
    """`shading.explin` of one value."""
    limit = np.float32(1.1)
    return raw if raw > limit else np.exp(raw / limit - np.float32(0.904689820196))


@numba.njit(nogil=True, error_model="numpy")
def interpolate(density, points, x, y, z):  # type: ignore[no-untyped-def]
    """`shading.interpolate` of one voxel with corners `points` [8], at a place that is clamped to it."""
    zero, one = np.float32(0.0), np.float32(1.0)
    x, y, z = min(max(x, zero), one), min(max(y, zero), one), min(max(z, zero), one)
    d0, d1, d2, d3 = density[points[0]], density[points[1]], density[points[2]], density[points[3]]
    d4, d5, d6, d7 = density[points[4]], density[points[5]], density[points[6]], density[points[7]]
    d0, d1, d2, d3 = d0 + x * (d4 - d0), d1 + x * (d5 - d1), d2 + x * (d6 - d2), d3 + x * (d7 - d3)
    d0, d1 = d0 + y * (d2 - d0), d1 + y * (d3 - d1)
    return d0 + z * (d1 - d0)


@numba.njit(nogil=True, error_model="numpy")
def fill_basis(x, y, z, count, basis):  # type: ignore[no-untyped-def]
    """The first `count` values after the constant of `spherical_harmonics`, along (x, y, z) of any length."""
    norm = max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
    x, y, z = x / norm, y / norm, z / norm
    xx, yy, zz = x * x, y * y, z * z
    one, three, five = np.float32(1.0), np.float32(3.0), np.float32(5.0)
    if count >= 3:
        basis[0] = np.float32(-0.4886025119029199) * y
        basis[1] = np.float32(0.4886025119029199) * z
        basis[2] = np.float32(-0.4886025119029199) * x
    if count >= 8:
        basis[3] = np.float32(1.0925484305920792) * x * y
        basis[4] = np.float32(-1.0925484305920792) * y * z
        basis[5] = np.float32(0.31539156525252005) * (three * zz - one)
        basis[6] = np.float32(-1.0925484305920792) * x * z
        basis[7] = np.float32(0.5462742152960396) * (xx - yy)
    if count >= 15:
        basis[8] = np.float32(-0.5900435899266435) * y * (three * xx - yy)
        basis[9] = np.float32(2.890611442640554) * x * y * z
        basis[10] = np.float32(-0.4570457994644658) * y * (five * zz - one)
        basis[11] = np.float32(0.3731763325901154) * z * (five * zz - three)
        basis[12] = np.float32(-0.4570457994644658) * x * (five * zz - one)
        basis[13] = np.float32(1.445305721320277) * z * (xx - yy)
        basis[14] = np.float32(-0.5900435899266435) * x * (xx - three * yy)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _render(rays, tree, fields, constants, samples, out, begin, end):  # type: ignore[no-untyped-def]
    """Render rays [begin, end) into `out`.

    rays: origins and speeds in the unit cube, inverse directions [3, R]. tree: children [nodes, 8],
    voxel_points [N, 8]. fields: density [M], sh0 [N, 3], shs [N, B, 3]. constants: near, density_scale,
    brightest.
    """
    origins, speeds, inverses = rays
    children, voxel_points = tree
    density, sh0, shs = fields
    nearest, density_scale, brightest = constants
    rgb, depth, opacity = out
    zero, half = np.float32(0.0), np.float32(0.5)
    constant = np.float32(0.28209479177387814)
    number = shs.shape[1]
    nodes, pieces = np.empty(STACK, np.int64), np.empty((STACK, 6), np.float32)
    basis, color = np.zeros(15, np.float32), np.zeros(3, np.float32)
    for r in range(begin, end):
        ox, oy, oz = origins[0, r], origins[1, r], origins[2, r]
        ray = (ox, oy, oz, inverses[0, r], inverses[1, r], inverses[2, r])
        top = enter(ray, nearest, nodes, pieces)
        left = 1.0
        red = green = blue = distance = covered = 0.0
        while top > 0 and left > END_LIGHT:
            voxel, near, far, top = next_voxel(children, ray, nodes, pieces, top)
            if voxel < 0:
                break
            # The voxel's place on the stack is free now but still there.
            cx, cy, cz, quarter = pieces[top, 2], pieces[top, 3], pieces[top, 4], pieces[top, 5]
            low, scale = np.float32(2.0) * quarter, np.float32(0.25) / quarter
            x, y, z = (ox - (cx - low)) * scale, (oy - (cy - low)) * scale, (oz - (cz - low)) * scale
            dx, dy, dz = speeds[0, r] * scale, speeds[1, r] * scale, speeds[2, r] * scale
            width = (far - near) / np.float32(samples)
            total = zero
            for sample in range(samples):
                t = near + (np.float32(sample) + half) * width
                total += explin(interpolate(density, voxel_points[voxel], x + dx * t, y + dy * t, z + dz * t))
            absorbed = left * -np.expm1(-(total * width * density_scale))
            weight = min(absorbed, left - END_LIGHT) / (1.0 - END_LIGHT)
            left -= absorbed
            covered += weight
            distance += weight * (half * (near + far))
            if weight > FAINTEST:
                fill_basis(cx - ox, cy - oy, cz - oz, number, basis)
                for channel in range(3):
                    color[channel] = half + constant * sh0[voxel, channel]
                for k in range(number):
                    for channel in range(3):
                        color[channel] += basis[k] * shs[voxel, k, channel]
                red += weight * min(max(color[0], zero), brightest)
                green += weight * min(max(color[1], zero), brightest)
                blue += weight * min(max(color[2], zero), brightest)
        rgb[r, 0], rgb[r, 1], rgb[r, 2] = red, green, blue
        opacity[r] = min(covered, 1.0)
        depth[r] = distance / max(covered, 1e-6)


def render_cpu(
    rays: tuple[Tensor, ...],
    tree: tuple[Tensor, ...],
    fields: tuple[Tensor, ...],
    constants: tuple[float, float, float],
    samples: int,
) -> RayRender:
    """`SVRaster.render` for CPU tensors; arguments as for `_render`."""
    number = rays[0].shape[1]
    out = (torch.empty(number, 3), torch.empty(number), torch.empty(number))
    scalars = tuple(np.float32(value) for value in constants)
    task = partial(_render, arrays(*rays), arrays(*tree), arrays(*fields), scalars, samples, arrays(*out))
    run_parallel(task, split(number, smallest=64))
    return RayRender(*out)
