"""Compiled CPU kernel of `losses.total_variation`: its value and its gradient in one walk over the voxels."""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from neurocity.rendering.cpu_kernels import run_parallel, thread_shares


class TotalVariationCPU(torch.autograd.Function):
    """Arguments and value are those of `losses.total_variation`; differentiable in the densities."""

    @staticmethod
    def forward(ctx: Any, density: Tensor, voxel_points: Tensor) -> Tensor:
        values, points = density.detach().numpy(), voxel_points.numpy()
        shares = thread_shares(len(points))
        sums = np.zeros(len(shares))
        slopes = torch.zeros(len(shares), len(density))

        def walk(begin: int, end: int) -> None:
            share = shares.index((begin, end))
            sums[share] = _variation(values, points, slopes[share].numpy(), begin, end)

        run_parallel(walk, shares)
        ctx.save_for_backward(slopes.sum(0))
        return density.new_tensor(sums.sum())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return gradient * slopes, None


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _variation(density, voxel_points, slopes, begin, end):  # type: ignore[no-untyped-def]
    """Sum of |differences| along the edges of voxels [begin, end); adds the slopes by points to `slopes`."""
    total = 0.0
    for voxel in range(begin, end):
        for corner in range(8):
            for bit in (1, 2, 4):
                if not corner & bit:
                    low, high = voxel_points[voxel, corner], voxel_points[voxel, corner + bit]
                    difference = density[low] - density[high]
                    total += abs(difference)
                    slope = np.sign(difference)
                    slopes[low] += slope
                    slopes[high] -= slope
    return total
