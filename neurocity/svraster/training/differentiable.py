"""Rays rendered for training: light, what the losses need of it, and what adaptation counts.

On the CPU this is one pass of compiled kernels; `define` says in PyTorch what they compute.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocity.rendering.compositing import segment_sum
from neurocity.rendering.cpu_kernels import arrays, kernels_apply, run_parallel, thread_shares
from neurocity.rendering.render import TrainingRender
from neurocity.svraster import shading, voxel_kernels
from neurocity.svraster.core import SVRaster
from neurocity.svraster.training import losses
from neurocity.svraster.training.statistics import VoxelStatistics
from neurocity.svraster.traversal import inverse_directions


class Recycled:
    """Memory for gradients of one size, step after step.

    Fresh memory of this size costs a page fault every 4 KiB, which take longer than the gradients themselves.
    """

    def __init__(self) -> None:
        self._arrays: dict[torch.Size, np.ndarray] = {}

    def zeros(self, shape: torch.Size) -> Tensor:
        """A tensor of zeros, in the memory of the last one of this shape unless that is still in use."""
        array = self._arrays.pop(shape, None)
        # A tensor on this memory holds a reference to the array; without, there are `array` and the argument.
        if array is not None and sys.getrefcount(array) == 2:
            array.fill(0.0)
        else:
            array = np.zeros(shape, np.float32)
        self._arrays[shape] = array
        return torch.from_numpy(array)


class TrainingPass:
    """Renders rays for training, as long as the voxels stay the same.

    distortion: whether that loss is computed, else it is 0. statistics: what the backward pass adds to.
    """

    def __init__(self, model: SVRaster) -> None:
        self.model = model
        self.statistics = VoxelStatistics.zeros(len(model.voxel_level), model.voxel_level.device)
        self.recycled = Recycled()
        self.degree = model.config.sh_degree
        self.distortion = False

    def render(
        self, origins: Tensor, directions: Tensor, photograph: Tensor, pixel_widths: Tensor
    ) -> TrainingRender:
        """Rays [3, R], the photograph's colours [R, 3] and the widths of pixels at unit distance [R]."""
        model = self.model
        if not kernels_apply(origins):
            return self.define(origins, directions, photograph, pixel_widths)
        planes = _KernelPass.apply(
            model.density, model.sh0, model.shs, self, (origins, directions, photograph, pixel_widths)
        )
        return _render(*planes)

    def define(
        self, origins: Tensor, directions: Tensor, photograph: Tensor, pixel_widths: Tensor
    ) -> TrainingRender:
        """The definition; arguments as for `render`."""
        model = self.model
        intervals = model.traverse(origins, directions)
        voxel, ray, offsets = intervals.voxel, intervals.ray_index, intervals.offsets
        tau = model.optical_depth(intervals, origins, directions)
        weights = shading.visible_weights(tau, offsets, ray)
        colors = shading.clamp_straight(model.colors(voxel, origins, ray, self.basis_size))
        rgb = segment_sum((colors * weights[:, None]).t(), offsets).t()
        apart = torch.zeros_like(rgb[:, 0])
        if self.distortion:
            near, far = (depth / self.distance_unit for depth in (intervals.near, intervals.far))
            apart = losses.distortion(weights, near, far, offsets)
        if weights.requires_grad:
            footprint = (intervals.near + intervals.far) * 0.5 * pixel_widths.index_select(0, ray)
            values = weights.detach()
            weights.register_hook(
                lambda gradient: self.statistics.add(
                    voxel, offsets, ray, weights=values, gradient=gradient, footprint=footprint
                )
            )
        spread = losses.color_concentration(weights, colors, photograph, offsets)
        return _render(rgb, segment_sum(weights, offsets), spread, apart, len(voxel))

    @property
    def basis_size(self) -> int:
        """Basis functions in use beyond the constant."""
        return min((self.degree + 1) ** 2 - 1, self.model.basis_size)

    @property
    def distance_unit(self) -> float:
        """Where the contraction of distances begins: half the side of the box's cube."""
        config = self.model.config
        return self.model.root_side / 2.0 ** (config.bounds_level + 1)


def _render(
    rgb: Tensor, opacity: Tensor, concentration: Tensor, distortion: Tensor, evaluated: int
) -> TrainingRender:
    """With the terms that `losses` name so."""
    terms = {"concentration": concentration, "distortion": distortion}
    return TrainingRender(rgb, opacity, evaluated, terms)


class _KernelPass(torch.autograd.Function):
    """`TrainingPass.define` by compiled kernels; differentiable in densities and colours only."""

    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        sh0: Tensor,
        shs: Tensor,
        settings: TrainingPass,
        inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        origins, directions, photograph, pixel_widths = inputs
        model, number = settings.model, origins.shape[1]
        speeds = directions / model.root_side
        rays = arrays(model.to_unit(origins), speeds, inverse_directions(speeds), photograph)
        tree = arrays(model.node_children, model.voxel_points)
        constants = tuple(np.float32(v) for v in (model.near, model.density_scale, settings.distance_unit))
        count = settings.basis_size
        terms = (model.samples, settings.distortion)
        out = (torch.empty(number, 3), *torch.empty(3, number))
        parts = thread_shares(number)  # each costs a buffer of density gradients
        tapes: dict[int, Any] = {}

        def trace(begin: int, end: int) -> None:
            tapes[begin] = voxel_kernels.trace_rays(
                rays, tree, arrays(density, sh0, shs), constants, count, terms, arrays(*out), begin, end
            )

        run_parallel(trace, parts)
        ctx.tapes, ctx.parts, ctx.settings = tapes, parts, settings
        ctx.arrays = rays, tree, constants, count, terms, arrays(pixel_widths)[0]
        ctx.shapes = density.shape, sh0.shape, shs.shape
        evaluated = sum(len(tape[0]) for tape in tapes.values())
        return (*out, evaluated)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        rays, tree, constants, count, terms, pixel_widths = ctx.arrays
        statistics = ctx.settings.statistics
        grads = arrays(*gradients[:4])
        density = torch.zeros(len(ctx.parts), *ctx.shapes[0])
        colors = tuple(ctx.settings.recycled.zeros(shape) for shape in ctx.shapes[1:])

        def gather(begin: int, end: int) -> None:
            out = density[ctx.parts.index((begin, end))].numpy()
            voxel_kernels.voxel_gradients(
                rays, tree, constants, terms, grads, ctx.tapes[begin], out, begin, end
            )

        def scatter(owner: int, owners: int) -> None:
            for begin, _ in ctx.parts:
                voxel_kernels.accumulate_sh(
                    (rays[0], pixel_widths),
                    count,
                    ctx.tapes[begin],
                    begin,
                    arrays(*statistics.tensors().values()),
                    arrays(*colors),
                    owner,
                    owners,
                )

        run_parallel(gather, ctx.parts)
        owners = len(ctx.parts)
        run_parallel(scatter, [(owner, owners) for owner in range(owners)])
        return density.sum(0), *colors, None, None
