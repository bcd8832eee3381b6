"""Rays rendered for training: light, what the losses need of it, and what adaptation counts.

On the CPU this is one pass of compiled kernels; `define` says in PyTorch what they compute.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurocity.cameras import Rays
from neurocity.kernels.voxel_training import (
    TracedLight,
    TrainingInputs,
    VoxelSums,
    VoxelTape,
    ray_parts,
    trace_voxels,
    voxel_gradients,
)
from neurocity.rendering.compositing import segment_sum
from neurocity.rendering.cpu_kernels import arrays, kernels_apply
from neurocity.rendering.render import TrainingRender
from neurocity.svraster import shading
from neurocity.svraster.core import SVRaster
from neurocity.svraster.training import losses
from neurocity.svraster.training.near_field import gradient_share
from neurocity.svraster.training.statistics import VoxelStatistics


class Recycled:
    """Memory for gradients of one size, step after step.

    Fresh memory of this size costs a page fault every 4 KiB, which take longer than the gradients themselves.
    """

    def __init__(self) -> None:
        self._arrays: dict[torch.Size, np.ndarray] = {}

    def empty(self, shape: torch.Size) -> Tensor:
        """A tensor of anything, in the memory of the last one of this shape unless that is still in use."""
        array = self._arrays.pop(shape, None)
        # A tensor on this memory holds a reference to the array; without, there are `array` and the argument.
        if array is None or sys.getrefcount(array) > 2:
            array = np.empty(shape, np.float32)
        self._arrays[shape] = array
        return torch.from_numpy(array)


class TrainingPass:
    """Renders rays for training, as long as the voxels stay the same.

    squares: pixels along the side of the squares in which rays come, 1 if they come one by one. near: the
    distance within which views count less, see `near_field`. distortion: whether that loss is computed, else
    it is 0. statistics: what the backward pass adds to.
    """

    def __init__(self, model: SVRaster, *, squares: int = 1, near: float = 0.0) -> None:
        self.model = model
        self.squares = squares
        self.near = near
        self.statistics = VoxelStatistics.zeros(len(model.voxel_level), model.voxel_level.device)
        self.recycled = Recycled()
        self.tapes: list[VoxelTape] = []
        self.degree = model.config.sh_degree
        self.distortion = False

    def render(
        self, origins: Tensor, directions: Tensor, photograph: Tensor, pixel_widths: Tensor
    ) -> TrainingRender:
        """Rays [3, R], the photograph's colours [R, 3] and the widths of pixels at unit distance [R]."""
        model = self.model
        if not kernels_apply(origins):
            return self.define(origins, directions, photograph, pixel_widths)
        planes = arrays(origins.t(), directions.t(), photograph, pixel_widths)
        in_squares = self.squares > 1 and len(photograph) % self.squares == 0
        inputs = TrainingInputs(
            model=model.kernel_data(),
            rays=Rays(*planes[:2], width=self.squares if in_squares else 0),
            photograph=planes[2],
            pixel_widths=planes[3],
            sh_degree=self.degree,
            distance_unit=self.distance_unit,
            near_distance=self.near,
            distorting=self.distortion,
        )
        return _render(*_KernelPass.apply(model.density, model.sh0, model.shs, self, inputs))

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
        middle = (intervals.near + intervals.far) * 0.5
        share = gradient_share(middle, self.near)
        if weights.requires_grad:
            tau.register_hook(lambda gradient: gradient * share)
            colors.register_hook(lambda gradient: gradient * share[:, None])
        rgb = segment_sum((colors * weights[:, None]).t(), offsets).t()
        apart = torch.zeros_like(rgb[:, 0])
        if self.distortion:
            near, far = (depth / self.distance_unit for depth in (intervals.near, intervals.far))
            apart = losses.distortion(weights, near, far, offsets)
        if weights.requires_grad:
            footprint = middle.clamp_min(self.near) * pixel_widths.index_select(0, ray)
            values = weights.detach()
            weights.register_hook(
                lambda gradient: self.statistics.add(
                    voxel, offsets, ray, weights=values, gradient=gradient, share=share, footprint=footprint
                )
            )
        spread = losses.color_concentration(weights, colors, photograph, offsets)
        return _render(rgb, segment_sum(weights, offsets), spread, apart, len(voxel))

    def take_tape(self, parts: int) -> VoxelTape:
        """A tape that no other pass uses. Memory that was used before needs no page faults."""
        while self.tapes:
            tape = self.tapes.pop()
            if tape.parts == parts:
                return tape
        return VoxelTape(parts)

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
        ctx: Any, density: Tensor, sh0: Tensor, shs: Tensor, settings: TrainingPass, inputs: TrainingInputs
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        number = len(inputs.rays)
        out = (torch.empty(number, 3), *torch.empty(3, number))
        tape = settings.take_tape(ray_parts(inputs.rays))
        light = TracedLight(*arrays(*out))
        evaluated = trace_voxels(inputs, tape, light, threads=torch.get_num_threads())
        ctx.inputs, ctx.tape, ctx.settings = inputs, tape, settings
        ctx.shapes = density.shape, sh0.shape, shs.shape
        return (*out, evaluated)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        settings, tape = ctx.settings, ctx.tape
        assert tape is not None, "a pass goes back once"
        ctx.tape = None
        density, *colors = (settings.recycled.empty(shape) for shape in ctx.shapes)
        statistics = settings.statistics.tensors().values()
        sums = VoxelSums(*arrays(density, *colors, *statistics))
        slopes = TracedLight(*arrays(*gradients[:4]))
        voxel_gradients(ctx.inputs, tape, slopes, sums, threads=torch.get_num_threads())
        settings.tapes.append(tape)
        return density, *colors, None, None
