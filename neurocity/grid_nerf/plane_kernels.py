"""Compiled CPU kernels of plane and line features: the same values as the PyTorch twin in `planes`, fused.

One pass per part (a plane, its line) keeps weights, both interpolations and their product in registers where
the twin writes [P, N, C] to memory. Backward runs part by part, so that threads never write to the same rows.
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
def _cell(coordinate, size):  # type: ignore[no-untyped-def]
    """Lower vertex and fraction of a coordinate in [0, 1] among `size` vertices; NaN yields vertex 0."""
    position = coordinate * np.float32(size - 1)
    index = int(min(position, np.float32(size - 2))) if position > np.float32(0.0) else 0
    return index, position - np.float32(index)


@cache
def _compiled(components: int) -> tuple[Callable[..., Any], ...]:
    """(forward, backward) for a number of components; the closure constant lets LLVM unroll over them."""
    one = np.float32(1.0)

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def forward(points, planes, lines, axes, sizes, starts, out, begin, end):  # type: ignore[no-untyped-def]
        for part in range(len(axes)):
            u, v, w = points[axes[part, 0]], points[axes[part, 1]], points[axes[part, 2]]
            size_u, size_v, size_w = sizes[part]
            plane_start, line_start = starts[part]
            first = part * components
            for n in range(begin, end):
                iu, fu = _cell(u[n], size_u)
                iv, fv = _cell(v[n], size_v)
                iw, fw = _cell(w[n], size_w)
                near, line = plane_start + iv * size_u + iu, line_start + iw
                far = near + size_u
                w00, w10 = (one - fu) * (one - fv), fu * (one - fv)
                w01, w11 = (one - fu) * fv, fu * fv
                # Rows of their own, so that the compiler sees vectors.
                p00, p10, p01, p11 = planes[near], planes[near + 1], planes[far], planes[far + 1]
                l0, l1 = lines[line], lines[line + 1]
                product = out[n, first : first + components]
                for c in range(components):
                    on_plane = w00 * p00[c] + w10 * p10[c] + w01 * p01[c] + w11 * p11[c]
                    product[c] = on_plane * ((one - fw) * l0[c] + fw * l1[c])

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def backward(  # type: ignore[no-untyped-def]
        points, planes, lines, axes, sizes, starts, grad_out, grad_planes, grad_lines, begin, end
    ):
        to_plane, to_line = np.empty(components, np.float32), np.empty(components, np.float32)
        for part in range(begin, end):
            u, v, w = points[axes[part, 0]], points[axes[part, 1]], points[axes[part, 2]]
            size_u, size_v, size_w = sizes[part]
            plane_start, line_start = starts[part]
            first = part * components
            for n in range(points.shape[1]):
                iu, fu = _cell(u[n], size_u)
                iv, fv = _cell(v[n], size_v)
                iw, fw = _cell(w[n], size_w)
                near, line = plane_start + iv * size_u + iu, line_start + iw
                far = near + size_u
                w00, w10 = (one - fu) * (one - fv), fu * (one - fv)
                w01, w11 = (one - fu) * fv, fu * fv
                p00, p10, p01, p11 = planes[near], planes[near + 1], planes[far], planes[far + 1]
                g00, g10 = grad_planes[near], grad_planes[near + 1]
                g01, g11 = grad_planes[far], grad_planes[far + 1]
                l0, l1 = lines[line], lines[line + 1]
                h0, h1 = grad_lines[line], grad_lines[line + 1]
                grad = grad_out[n, first : first + components]
                for c in range(components):
                    on_plane = w00 * p00[c] + w10 * p10[c] + w01 * p01[c] + w11 * p11[c]
                    to_plane[c] = grad[c] * ((one - fw) * l0[c] + fw * l1[c])
                    to_line[c] = grad[c] * on_plane
                # A loop for each row: rows might overlap, as far as the compiler knows.
                for c in range(components):
                    g00[c] += w00 * to_plane[c]
                for c in range(components):
                    g10[c] += w10 * to_plane[c]
                for c in range(components):
                    g01[c] += w01 * to_plane[c]
                for c in range(components):
                    g11[c] += w11 * to_plane[c]
                for c in range(components):
                    h0[c] += (one - fw) * to_line[c]
                for c in range(components):
                    h1[c] += fw * to_line[c]

    return forward, backward


class PlaneLineCPU(torch.autograd.Function):
    """points [3, N] in [0, 1], tables [rows, C] -> features [N, P C]; differentiable in the tables only."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, planes: Tensor, lines: Tensor, *layout: Tensor) -> Tensor:
        kernel, _ = _compiled(planes.shape[1])
        axes, sizes, starts = layout
        out = torch.empty(points.shape[1], len(axes) * planes.shape[1])
        inputs = arrays(points, planes, lines, axes, sizes, starts)
        run_parallel(
            lambda begin, end: kernel(*inputs, out.numpy(), begin, end),
            split(points.shape[1], smallest=512),
        )
        ctx.save_for_backward(points, planes, lines, axes, sizes, starts)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        _, planes, lines, axes, _, _ = ctx.saved_tensors
        _, kernel = _compiled(planes.shape[1])
        grad_planes, grad_lines = torch.zeros_like(planes), torch.zeros_like(lines)
        inputs = arrays(*ctx.saved_tensors, grad_out)
        run_parallel(
            lambda begin, end: kernel(*inputs, grad_planes.numpy(), grad_lines.numpy(), begin, end),
            [(part, part + 1) for part in range(len(axes))],
        )
        return None, grad_planes, grad_lines, None, None, None
