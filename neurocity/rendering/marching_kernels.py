"""Compiled CPU kernel of the march: one scalar walk a ray, in the arithmetic of `RayMarcher.march`."""

from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from neurocity.rendering.cpu_kernels import arrays, count_then_fill


@numba.njit(inline="always")
def _cell(place, last):  # type: ignore[no-untyped-def]
    """Index of an occupancy cell along an axis; NaN yields 0."""
    return np.int64(min(place, last)) if place > np.float32(0.0) else np.int64(0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _walk(  # type: ignore[no-untyped-def]
    rays, jump, edges, space, constants, limits, fill, out, begin, end
):
    """Count the samples of rays [begin, end) into `out.offsets`, or write them when `fill`."""
    origins, directions, starts, counts, jitters = rays
    low, center = space
    step, side, near, growth = constants
    grid, unbounded = limits
    points_out, t_out, delta_out, ray_out, offsets = out
    one, half, quarter = np.float32(1.0), np.float32(0.5), np.float32(0.25)
    half_side = side / np.float32(2.0)
    cells, last = np.float32(grid), np.float32(grid - 1)
    stretch = np.float32(2.0) * side / np.float32(grid) if unbounded else side / np.float32(grid)
    for r in range(begin, end):
        dx, dy, dz = directions[0, r], directions[1, r], directions[2, r]
        speed = max(abs(dx), abs(dy), abs(dz))
        index = np.float32(0.0)
        n = offsets[r]
        found = 0
        while index < counts[r]:
            if unbounded:
                cell = min(np.int64(index), len(edges) - 2)
                delta = edges[cell + 1] - edges[cell]
                t = edges[cell] + jitters[r] * delta
            else:
                delta = step
                t = starts[r] + (index + jitters[r]) * step
            x, y, z = origins[0, r] + dx * t, origins[1, r] + dy * t, origins[2, r] + dz * t
            norm = factor = one
            if unbounded:
                x, y, z = (
                    (x - center[0]) / half_side,
                    (y - center[1]) / half_side,
                    (z - center[2]) / half_side,
                )
                norm = max(abs(x), abs(y), abs(z))
                if not abs(x) + abs(y) + abs(z) < np.inf:  # nothing follows that is a place
                    break
                outer = max(norm, one)
                factor = (np.float32(2.0) - one / outer) / outer
                x, y, z = (
                    x * factor * quarter + half,
                    y * factor * quarter + half,
                    z * factor * quarter + half,
                )
            else:
                x, y, z = (x - low[0]) / side, (y - low[1]) / side, (z - low[2]) / side
            ix = _cell(x * cells, last)
            iy = _cell(y * cells, last)
            iz = _cell(z * cells, last)
            free = jump[ix + grid * (iy + grid * iz)]
            if free < 0.0:
                if fill:
                    points_out[0, n], points_out[1, n], points_out[2, n] = x, y, z
                    t_out[n], delta_out[n], ray_out[n] = t, delta * factor, r
                n += 1
                found += 1
                index += one
                continue
            leap = free / speed * stretch
            if unbounded:
                leap = free / speed * max(norm / np.float32(8.0), np.float32(0.75)) * stretch
                ahead = np.log1p((t + leap - near) * (growth / step)) / growth
                index = max(index + one, np.floor(ahead - jitters[r]) - one)
            else:
                index = max(index + one, index + np.floor(leap / step))
        if not fill:
            offsets[r + 1] = found


def march_cpu(jitter: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """`RayMarcher.march` with jitter [R], for CPU tensors; arguments: `RayMarcher.native_arguments`."""
    *rays, jump, edges, low, center, grid, unbounded, step, side, near, growth = arguments
    walk = partial(
        _walk,  # type: ignore[call-arg]
        arrays(*rays, jitter),
        *arrays(jump, edges),
        arrays(low, center),
        tuple(np.float32(value) for value in (step, side, near, growth)),
        (grid, bool(unbounded)),
    )
    return count_then_fill(walk, len(jitter), _samples)


def _samples(count: int) -> tuple[Tensor, ...]:
    """Room for points, t, delta and ray index of `count` samples."""
    index = torch.empty(count, dtype=torch.int64)
    return torch.empty(3, count), torch.empty(count), torch.empty(count), index
