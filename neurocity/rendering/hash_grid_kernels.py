"""Compiled CPU kernels of the hash grid: the same values as the PyTorch twin in `hash_grid`, fused.

One pass over points and levels keeps index, weight and sum in registers where the twin writes planes of
[L, N] to memory. Backward runs level by level, so that threads never write to the same rows.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from neurocity.rendering.cpu_kernels import arrays, run_parallel, split


@numba.njit(inline="always")
def _vertex(place):  # type: ignore[no-untyped-def]
    """Lower vertex of a coordinate; 0 where it is no number, or too far for the conversion to be defined."""
    return np.uint32(place) if np.float32(0.0) <= place < np.float32(1e9) else np.uint32(0)


@numba.njit(inline="always")
def _row(ix, iy, iz, resolution, dense, mask, hashing):  # type: ignore[no-untyped-def]
    factor_x, factor_y, factor_z, xor = hashing
    if dense:  # the mask changes nothing for points of the unit cube, and keeps others inside of the table
        return (ix + resolution * (iy + resolution * iz)) & mask
    if xor:
        return ((ix * factor_x) ^ (iy * factor_y) ^ (iz * factor_z)) & mask
    return (ix * factor_x + iy * factor_y + iz * factor_z) & mask


@cache
def _compiled(features: int, hash_factors: tuple[int, int, int], xor: bool) -> tuple[Callable[..., Any], ...]:
    """(forward, backward) for a number of features a level; closure constants are compiled in.

    They are plain numbers, so that numba finds what another process compiled for the same ones.
    """
    hashing = (*(np.uint32(factor) for factor in hash_factors), xor)
    one = np.float32(1.0)

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def forward(points, table, scales, resolutions, dense_levels, out, begin, end):  # type: ignore[no-untyped-def]
        levels, size, _ = table.shape
        mask = np.uint32(size - 1)
        for level in range(levels):
            scale, resolution = scales[level], np.uint32(resolutions[level])
            dense = level < dense_levels
            for n in range(begin, end):
                px = points[0, n] * scale + np.float32(0.5)
                py = points[1, n] * scale + np.float32(0.5)
                pz = points[2, n] * scale + np.float32(0.5)
                ix, iy, iz = _vertex(px), _vertex(py), _vertex(pz)
                fx, fy, fz = px - np.float32(ix), py - np.float32(iy), pz - np.float32(iz)
                sum0 = sum1 = sum2 = sum3 = np.float32(0.0)
                for corner in range(8):
                    bx, by, bz = np.uint32(corner & 1), np.uint32((corner >> 1) & 1), np.uint32(corner >> 2)
                    i = _row(ix + bx, iy + by, iz + bz, resolution, dense, mask, hashing)
                    weight = (fx if bx else one - fx) * (fy if by else one - fy) * (fz if bz else one - fz)
                    sum0 += weight * table[level, i, 0]
                    if features > 1:
                        sum1 += weight * table[level, i, 1]
                    if features > 2:
                        sum2 += weight * table[level, i, 2]
                        sum3 += weight * table[level, i, 3]
                out[n, level * features] = sum0
                if features > 1:
                    out[n, level * features + 1] = sum1
                if features > 2:
                    out[n, level * features + 2] = sum2
                    out[n, level * features + 3] = sum3

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def backward(points, grad_out, scales, resolutions, dense_levels, grad_table, begin, end):  # type: ignore[no-untyped-def]
        size = grad_table.shape[1]
        mask = np.uint32(size - 1)
        for level in range(begin, end):
            scale, resolution = scales[level], np.uint32(resolutions[level])
            dense = level < dense_levels
            for n in range(points.shape[1]):
                px = points[0, n] * scale + np.float32(0.5)
                py = points[1, n] * scale + np.float32(0.5)
                pz = points[2, n] * scale + np.float32(0.5)
                ix, iy, iz = _vertex(px), _vertex(py), _vertex(pz)
                fx, fy, fz = px - np.float32(ix), py - np.float32(iy), pz - np.float32(iz)
                grad0 = grad_out[n, level * features]
                grad1 = grad_out[n, level * features + 1] if features > 1 else grad0
                grad2 = grad_out[n, level * features + 2] if features > 2 else grad0
                grad3 = grad_out[n, level * features + 3] if features > 2 else grad0
                for corner in range(8):
                    bx, by, bz = np.uint32(corner & 1), np.uint32((corner >> 1) & 1), np.uint32(corner >> 2)
                    i = _row(ix + bx, iy + by, iz + bz, resolution, dense, mask, hashing)
                    weight = (fx if bx else one - fx) * (fy if by else one - fy) * (fz if bz else one - fz)
                    grad_table[level, i, 0] += weight * grad0
                    if features > 1:
                        grad_table[level, i, 1] += weight * grad1
                    if features > 2:
                        grad_table[level, i, 2] += weight * grad2
                        grad_table[level, i, 3] += weight * grad3

    return forward, backward


class HashEncodeCPU(torch.autograd.Function):
    """points [3, N] in [0, 1], table [L, T, F] -> features [N, L F]; differentiable in the table only."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        table: Tensor,
        scales: Tensor,
        resolutions: Tensor,
        dense_levels: int,
        hash_factors: tuple[int, int, int],
        xor: bool,
    ) -> Tensor:
        levels, _, features = table.shape
        kernel, _ = _compiled(features, hash_factors, xor)
        out = torch.empty(points.shape[1], levels * features)
        inputs = arrays(points, table, scales, resolutions)
        run_parallel(
            lambda begin, end: kernel(*inputs, dense_levels, out.numpy(), begin, end),
            split(points.shape[1], smallest=512),
        )
        ctx.save_for_backward(points, scales, resolutions)
        ctx.static = (table.shape, dense_levels, hash_factors, xor)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        points, scales, resolutions = ctx.saved_tensors
        shape, dense_levels, hash_factors, xor = ctx.static
        _, kernel = _compiled(shape[2], hash_factors, xor)
        grad_table = torch.zeros(shape)
        inputs = arrays(points, grad_out, scales, resolutions)
        run_parallel(
            lambda begin, end: kernel(*inputs, dense_levels, grad_table.numpy(), begin, end),
            [(level, level + 1) for level in range(shape[0])],
        )
        return None, grad_table, None, None, None, None, None
