"""SVRaster: sparse voxels of an octree with densities at shared corners (Sun et al. 2024).

Notation
    N voxels, M grid points; the octree's root is the unit cube, in whose units positions are kept
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

from neurocity.cameras import Rays
from neurocity.errors import ConfigError
from neurocity.family import render_model
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxel_intervals import list_voxels
from neurocity.kernels.voxels import render_voxels as render_voxels_cpu
from neurocity.light import Light
from neurocity.rendering.compositing import row_transmittance, segment_sum
from neurocity.rendering.cpu_kernels import arrays, kernels_apply
from neurocity.rendering.cuda_kernels import cuda_kernels_apply, device_of
from neurocity.rendering.fixed_budget import FixedBudget
from neurocity.rendering.graph_target import gather_rows, materialize
from neurocity.rendering.mlp import SkyNet, halve
from neurocity.rendering.packed import in_round, rank_within_ray
from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import spherical_harmonics
from neurocity.svraster import native, octree, shading
from neurocity.svraster.config import SVRasterConfig
from neurocity.svraster.fixed_budget import descend_rows, most_items
from neurocity.svraster.layout import base_voxels, possible_voxels
from neurocity.svraster.traversal import (
    Descent,
    VoxelIntervals,
    descend,
    enter,
    inverse_directions,
    kept_pieces,
    refine,
    voxels_of,
)

__all__ = ["SVRaster", "SVRasterConfig"]

TERMINATION_ROUNDS: Final = (4, 2**31)
"""Nodes of a ray that have been rendered after each round of a graph: the first ones, which take most rays'
light, and all others."""


@render_model
class SVRaster(nn.Module):
    """Radiance field of sparse voxels; see `SVRasterConfig`.

    Parameters: density [M], raw, at grid points; sh0 [N, 3] and shs [N, B, 3], spherical harmonics of each
    voxel's colour, the constant and the others. Voxels are `voxel_level` [N] and `voxel_cell` [N, 3] (see
    `octree`); everything else is derived from these two, by `set_voxels`.
    """

    needs_ray_radii = False

    voxel_level: Tensor
    voxel_cell: Tensor
    voxel_points: Tensor
    voxel_low: Tensor
    voxel_scale: Tensor
    node_children: Tensor
    node_centers: Tensor
    root_low: Tensor

    def __init__(self, config: SVRasterConfig) -> None:
        super().__init__()
        self.config = config
        low, high = torch.tensor(config.scene_bounds[:3]), torch.tensor(config.scene_bounds[3:])
        side = float((high - low).max())
        self.root_side = side * 2.0**config.bounds_level
        self.density_scale = config.depth_per_side / side
        self.brightest = config.brightest
        # TorchScript reads attributes, not globals.
        self.faintest = shading.FAINTEST
        self.least_light = shading.END_LIGHT
        self.termination_rounds = TERMINATION_ROUNDS
        self.near = config.near
        self.far = self.root_side
        self.samples = config.samples_per_voxel
        self.sky_enabled = config.sky
        self.rounds = 0
        self.basis_size = (config.sh_degree + 1) ** 2 - 1
        self.sky_net = SkyNet()
        self.register_buffer("root_low", (low + high) / 2 - self.root_side / 2, persistent=False)
        self.set_voxels(*base_voxels(config))

    @torch.jit.unused
    @torch.no_grad()
    def set_voxels(self, level: Tensor, cell: Tensor) -> None:
        """Make exactly these voxels the model's: level [N] and cell [N, 3] int64, in this order.

        All parameters are made anew, with their initial values, and are the caller's to fill; optimisers must
        be given the new ones. Raises ConfigError if voxels overlap or are outside the octree.
        """
        device = self.root_low.device
        level, cell = level.to(device, torch.int64), cell.to(device, torch.int64)
        if len(level) and int(level.max()) > self.config.octree_levels:
            raise ConfigError(
                f"voxel level: got {int(level.max())}, expected at most {self.config.octree_levels}"
            )
        tree = octree.build(level, cell)
        voxel_points, points = octree.grid_points(level, cell)
        scale = torch.exp2(level.float())
        self.rounds = max(1, int(level.max())) if len(level) else 1
        self.register_buffer("voxel_level", level)
        self.register_buffer("voxel_cell", cell)
        low = (cell.float() / scale[:, None]).t().contiguous()
        self.register_buffer("voxel_points", voxel_points, persistent=False)
        self.register_buffer("voxel_low", low, persistent=False)
        self.register_buffer("voxel_scale", scale, persistent=False)
        self.register_buffer("node_children", tree.children, persistent=False)
        self.register_buffer("node_centers", tree.centers, persistent=False)
        number = len(level)
        self.density = nn.Parameter(torch.full((len(points),), self.config.initial_density, device=device))
        self.sh0 = nn.Parameter(torch.zeros(number, 3, device=device))
        self.shs = nn.Parameter(torch.zeros(number, self.basis_size, 3, device=device))

    @torch.jit.unused
    def start_from_hull(self, possible: Tensor) -> None:
        """Begin with voxels where `possible` [resolution^3] bool, x fastest, is true in the box's cube.

        The resolution is a power of two; an unbounded model keeps its shells.
        """
        self.set_voxels(*possible_voxels(self.config, possible))

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        origins, directions = ray_origins.t(), ray_directions.t()
        if self.runs_compiled(origins):
            return self.render_compiled(origins, directions)
        if cuda_kernels_apply(origins, self.training) and self.density.dtype == torch.float32:
            render = self.render_on_cuda(ray_origins, ray_directions)
        else:
            render = self.render_in_rounds(origins, directions)
        return self.composite_over_sky(render, directions) if self.sky_enabled else render

    @torch.jit.unused
    def render(self, origins: Tensor, directions: Tensor) -> RayRender:
        """The voxels' light on rays [3, R], without the sky."""
        full = torch.ones_like(origins[0])
        light, _ = self.light(self.traverse(origins, directions), origins, directions, full)
        return shading.split_render(light)

    def render_in_rounds(self, origins: Tensor, directions: Tensor) -> RayRender:
        """`render` for graphs: what lies behind the nodes that take a ray's light is not looked at.

        Nodes halfway down the octree are taken in groups, front to back. Weights end where rays do, see
        `shading.visible_weights`, so nothing is lost.
        """
        descent = self.descent(origins, directions)
        upper = self.rounds // 2
        pieces = refine(enter(descent), descent, upper)
        rank = rank_within_ray(pieces.ray_index, pieces.offsets)
        arriving = torch.ones_like(origins[0])
        summed = torch.zeros(5, origins.shape[1], dtype=origins.dtype, device=origins.device)
        first = 0
        for last in self.termination_rounds:
            lit = arriving > self.least_light
            group = kept_pieces(pieces, in_round(lit, pieces.ray_index, rank, first, last))
            group = refine(group, descent, self.rounds - upper)
            light, arriving = self.light(voxels_of(group), origins, directions, arriving)
            summed = summed + light
            first = last
        return shading.split_render(summed)

    @torch.jit.unused
    def render_on_cuda(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """`render_in_rounds` by the kernel for CUDA devices."""
        from neurocity.cuda_kernels.voxels import sum_voxels  # noqa: PLC0415, where triton is

        octree = [self.node_children, self.root_low]
        voxels = [self.voxel_points, self.density, self.sh0, self.shs]
        sizes = [self.root_side, self.near, self.density_scale]
        limits = [self.brightest, self.least_light, self.faintest]
        with device_of(ray_origins):
            summed = sum_voxels([ray_origins, ray_directions], octree, voxels, sizes + limits, self.samples)
        return shading.split_render(summed)

    def light(
        self, intervals: VoxelIntervals, origins: Tensor, directions: Tensor, arriving: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums [5, R] of `shading.summed_light`, and the share of light [R] that leaves the intervals.

        arriving [R]: the share of light that reaches them.
        """
        tau = self.optical_depth(intervals, origins, directions)
        offsets, ray_index = intervals.offsets, intervals.ray_index
        weights = materialize(shading.visible_weights(tau, offsets, ray_index, self.least_light, arriving))
        seen = (weights > self.faintest).nonzero().flatten()
        rays = ray_index.index_select(0, seen)
        colors = self.colors(intervals.voxel.index_select(0, seen), origins, rays, self.basis_size)
        light = (colors.clamp(0.0, self.brightest) * weights.index_select(0, seen)[:, None]).t()
        # Zeros of their own, not expanded ones: AOTInductor would write all channels to one place.
        dark = torch.zeros(3, weights.shape[0], dtype=weights.dtype, device=weights.device)
        light = dark.index_copy(1, seen, light)
        middle = (intervals.near + intervals.far) * 0.5
        leaving = arriving * torch.exp(-segment_sum(tau, offsets))
        return shading.summed_light(weights, light, middle, offsets), leaving

    @torch.jit.unused
    def render_compiled(self, origins: Tensor, directions: Tensor) -> RayRender:
        """`forward` by compiled CPU kernels: by one alone where no gradients are asked for."""
        if torch.is_grad_enabled() and self.density.requires_grad:
            render = self.render(origins, directions)
            return self.composite_over_sky(render, directions) if self.sky_enabled else render
        rays = Rays(*arrays(origins.t(), directions.t()))
        light = Light.empty(len(rays))
        render_voxels_cpu(self.kernel_data(), rays, light, threads=torch.get_num_threads())
        return RayRender(*map(torch.from_numpy, light))

    @torch.jit.unused
    def kernel_data(self) -> SceneData:
        """The model's own tensors, which must be float32 on the CPU, and numbers, for compiled kernels."""
        tensors = {
            "children": self.node_children,
            "voxel_points": self.voxel_points,
            "density": self.density,
            "sh0": self.sh0,
            "shs": self.shs,
            "root_low": self.root_low,
        }
        if self.sky_enabled:
            tensors["sky"] = self.sky_net.flat_weights()
        settings = {
            "sh_degree": self.config.sh_degree,
            "samples_per_voxel": self.samples,
            "root_side": self.root_side,
            "near": self.near,
            "far": self.far,
            "density_scale": self.density_scale,
            "brightest": self.brightest,
            "least_light": self.least_light,
            "faintest": self.faintest,
        }
        return SceneData("voxels", dict(zip(tensors, arrays(*tensors.values()), strict=True)), settings)

    @torch.jit.unused
    def scene_data(self) -> SceneData:
        """See `family.NativeModel`."""
        return native.scene_data(self, arrays(self.sh0)[0].dtype.type)

    def runs_compiled(self, origins: Tensor) -> bool:
        """Whether compiled kernels, which compute in float32 alone, do the work for these rays."""
        single = origins.dtype == self.density.dtype == self.sh0.dtype == torch.float32
        return kernels_apply(origins) and single

    def composite_over_sky(self, render: RayRender, directions: Tensor) -> RayRender:
        """The render of rays with unit directions [3, R] before the learnt sky: opacity is 1."""
        rest = 1.0 - render.opacity
        sky = self.sky_net(spherical_harmonics(directions))
        depth = render.depth * render.opacity + rest * self.far
        return RayRender(render.rgb + rest[:, None] * sky, depth, torch.ones_like(depth))

    def to_unit(self, origins: Tensor) -> Tensor:
        """World points [3, R] in the octree's unit cube."""
        return (origins - self.root_low[:, None]) / self.root_side

    def traverse(self, origins: Tensor, directions: Tensor) -> VoxelIntervals:
        """All voxels that rays [3, R] cross over a positive length, front to back; world units."""
        if self.runs_compiled(origins):
            return self.traverse_compiled(origins, directions)
        return descend(self.descent(origins, directions), self.rounds)

    @torch.jit.unused
    def traverse_compiled(self, origins: Tensor, directions: Tensor) -> VoxelIntervals:
        """`traverse` by compiled CPU kernels."""
        rays = Rays(*arrays(origins.t(), directions.t()))
        children, low = arrays(self.node_children, self.root_low)
        threads = torch.get_num_threads()
        found = list_voxels(children, (low, self.root_side), rays, self.near, threads=threads)
        return VoxelIntervals(*map(torch.from_numpy, found))

    def descent(self, origins: Tensor, directions: Tensor) -> Descent:
        """World rays [3, R] as they descend the octree."""
        start = materialize(self.to_unit(origins))
        inverse = materialize(inverse_directions(directions / self.root_side))
        return Descent(start, inverse, self.near, self.node_children, self.node_centers)

    def optical_depth(self, intervals: VoxelIntervals, origins: Tensor, directions: Tensor) -> Tensor:
        """Optical depths [K] of intervals on rays [3, R]."""
        voxel, ray = intervals.voxel, intervals.ray_index
        points = self.voxel_points.index_select(0, voxel).long()
        raw = gather_rows(self.density, points.flatten()).view(-1, 8)
        scale = gather_rows(self.voxel_scale, voxel)
        start = gather_rows(self.to_unit(origins), ray) - gather_rows(self.voxel_low, voxel)
        speed = gather_rows(directions / self.root_side, ray)
        depth = shading.optical_depth(
            raw, start * scale, speed * scale, intervals.near, intervals.far, self.samples
        )
        return depth * self.density_scale

    def colors(self, voxel: Tensor, origins: Tensor, ray_index: Tensor, basis_size: int) -> Tensor:
        """Colours [K, 3] of voxels [K] seen on rays [K] from `origins` [3, R], not yet clamped.

        basis_size: how many of the coefficients `shs` count.
        """
        center = self.voxel_low.index_select(1, voxel) + 0.5 / self.voxel_scale.index_select(0, voxel)
        views = center - self.to_unit(origins).index_select(1, ray_index)
        views = materialize(views / torch.linalg.vector_norm(views, dim=0).clamp_min(1e-12))
        sh0, shs = self.sh0.index_select(0, voxel), self.shs[:, :basis_size].index_select(0, voxel)
        return shading.voxel_colors(sh0.to(views.dtype), shs.to(views.dtype), views)

    @torch.jit.unused
    def fixed_budget(self, samples: int) -> nn.Module:
        """The render graph with at most `samples` voxels a ray, which shares this model's parameters.

        Raises ConfigError when there are no voxels.
        """
        if not len(self.voxel_level):
            raise ConfigError("the model has no voxels, so there is nothing to render with a fixed budget")
        return FixedBudget(self, samples)

    @torch.jit.unused
    def render_rows(self, samples: int, *rays: Tensor) -> RayRender:
        """`forward` with at most `samples` octree items of a ray at a time."""
        origins, directions = (plane.t() for plane in rays)
        items = descend_rows(self.descent(origins, directions), self.rounds, samples)
        found = (items.near < items.far).view(-1, samples)
        ray = torch.arange(rays[0].shape[0], device=origins.device)[:, None].expand(-1, samples).flatten()
        intervals = VoxelIntervals((-2 - items.node).clamp_min(0), items.near, items.far, ray, ray)
        tau = self.optical_depth(intervals, origins, directions).view(-1, samples)
        tau = torch.where(found, tau, 0.0)
        weights = shading.terminated_weights(row_transmittance(tau), tau)
        colors = self.colors(intervals.voxel, origins, ray, self.basis_size).clamp(0.0, self.brightest)
        seen = torch.where(weights > self.faintest, weights, 0.0)
        rgb = (seen[:, :, None] * colors.view(-1, samples, 3)).sum(1)
        middle = ((items.near + items.far) * 0.5).view(-1, samples)
        render = shading.split_render(
            torch.cat([rgb.t(), (weights * middle).sum(1)[None], weights.sum(1)[None]])
        )
        return self.composite_over_sky(render, directions) if self.sky_enabled else render

    @torch.jit.unused
    def samples_needed(self, ray_origins: Tensor, ray_directions: Tensor) -> Tensor:
        """How many items the fixed budget needs for rays [R, 3] to lose no light: [R] int64."""
        origins, directions = ray_origins.t(), ray_directions.t()
        intervals = self.traverse(origins, directions)
        tau = self.optical_depth(intervals, origins, directions)
        lit = shading.visible_weights(tau, intervals.offsets, intervals.ray_index) > 0.0
        light_end = torch.zeros_like(origins[0]).scatter_reduce(
            0, intervals.ray_index[lit], intervals.far[lit], "amax"
        )
        return most_items(self.descent(origins, directions), self.rounds, light_end)

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray in the render graph: the octree's levels, nothing else."""
        return {"octree_levels": float(self.rounds), "samples_per_voxel": float(self.samples)}

    @torch.jit.unused
    def get_voxel_statistics(self) -> dict[str, float]:
        """Figures of the voxels, by name; what `voxel_stats/*` shows during training."""
        levels = self.voxel_level.float()
        raw = self.density.detach()
        tensors = (*self.parameters(), *self.buffers())
        figures = {
            "num_voxels": float(len(levels)),
            "num_grid_points": float(len(raw)),
            "num_nodes": float(len(self.node_children)),
            "memory_mib": sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20,
        }
        if len(levels):
            figures["min_level"] = float(levels.min())
            figures["max_level"] = float(levels.max())
            figures["mean_level"] = float(levels.mean())
            figures["mean_raw_density"] = float(raw.mean())
            figures["mean_density"] = float(shading.explin(raw).mean() * self.density_scale)
        counts = torch.bincount(self.voxel_level, minlength=1).tolist()
        return figures | {f"level_{level}": float(count) for level, count in enumerate(counts) if count}

    @torch.jit.unused
    def halve(self) -> None:
        """Keep colours and the sky's network in float16; densities, which transmittance is made of, stay."""
        halve(self.sky_net)
        for colors in (self.sh0, self.shs):
            colors.data = colors.data.half()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """A checkpoint's voxels become the model's before its parameters are copied.

        Where they are the model's own already, its parameters stay the same objects.
        """
        level, cell = (state_dict.get(f"{prefix}voxel_{name}") for name in ("level", "cell"))
        if level is not None and cell is not None:
            own = zip((level, cell), (self.voxel_level, self.voxel_cell), strict=True)
            if not all(torch.equal(loaded.to(held.device), held) for loaded, held in own):
                self.set_voxels(level, cell)
        super()._load_from_state_dict(state_dict, prefix, *args)
