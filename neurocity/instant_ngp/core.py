"""Instant-NGP: hash-grid field, occupancy-guided march, volume rendering (Müller et al. 2022).

In eval mode `InstantNGP.forward` is the render graph of `neurocity.contract`: it survives `torch.jit.script`,
`torch.jit.trace`, `torch.export` and ONNX export. Training renders with `render_training`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurocity.instant_ngp.config import InstantNGPConfig
from neurocity.rendering.compositing import compositing_weights, segment_sum, transmittance
from neurocity.rendering.hash_grid import HashGrid
from neurocity.rendering.marching import PackedSamples, RayMarcher
from neurocity.rendering.mlp import MLP
from neurocity.rendering.occupancy import OccupancyGrid, jump_field
from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import COEFFICIENTS, spherical_harmonics

__all__ = ["InstantNGP", "InstantNGPConfig", "TrainingRender"]

VISIBLE_LIGHT = 1.0 / 255.0
"""Samples whose weights cannot add up to this along a ray get no colour in eval."""


class TrainingRender(NamedTuple):
    """A differentiable render of training rays: rgb [3, R], opacity [R], and how many samples it took."""

    rgb: Tensor
    opacity: Tensor
    evaluated: int


class InstantNGP(nn.Module):
    """Radiance field with a multiresolution hash encoding; see `InstantNGPConfig`."""

    def __init__(self, config: InstantNGPConfig) -> None:
        super().__init__()
        self.config = config
        self.sky_enabled = config.sky
        self.marcher = RayMarcher(
            bounds=config.scene_bounds,
            unbounded=config.unbounded,
            steps=config.march_steps,
            growth=config.step_growth,
            near=config.near,
            grid=config.occupancy_resolution,
        )
        self.visible_weight = VISIBLE_LIGHT / self.marcher.points
        # Density is per side of the scene's cube, so that a scene's units do not matter.
        self.density_scale = config.initial_density / self.marcher.side
        self.occupancy = OccupancyGrid(config.occupancy_resolution)
        self.encoding = HashGrid(
            levels=config.num_levels,
            features=config.level_dim,
            log2_rows=config.log2_hashmap_size,
            coarsest=config.base_resolution,
            finest=config.finest_resolution,
            hash_kind=config.hash_kind,
        )
        self.density_net = MLP(self.encoding.width, config.hidden_dim, config.geometry_dim)
        hidden = (config.hidden_dim,) * config.color_layers
        self.color_net = MLP(config.geometry_dim + COEFFICIENTS, *hidden, 3)
        self.sky_net = MLP(COEFFICIENTS, 32, 3)

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        origins, directions = ray_origins.t(), ray_directions.t()
        midpoints = torch.full_like(origins[0], 0.5)
        samples = self.marcher(origins, directions, self.occupancy.jump, midpoints)
        geometry, weights = self.weigh(samples)
        opacity = segment_sum(weights, samples.offsets)
        depth = segment_sum(weights * samples.t, samples.offsets)
        basis = spherical_harmonics(directions)
        seen = (weights > self.visible_weight).nonzero().flatten()
        seen_rays = samples.ray_index.index_select(0, seen)
        color = self.color(geometry.index_select(0, seen), basis.index_select(0, seen_rays)).t()
        light = torch.zeros_like(samples.points).index_copy(1, seen, color * weights.index_select(0, seen))
        rgb = segment_sum(light, samples.offsets)
        if self.sky_enabled:
            rest = (1.0 - opacity).clamp_min(0.0)
            rgb = rgb + rest * self.sky(basis).t()
            depth = depth + rest * self.marcher.far
            opacity = torch.ones_like(opacity)
        opacity = opacity.clamp(0.0, 1.0)
        return RayRender(rgb.t(), depth / opacity.clamp_min(1e-6), opacity)

    @torch.jit.unused
    def start_from_points(self, points: Tensor) -> None:
        """Expect matter near sparse world points [N, 3] first; it can grow from there.

        Without this a scene that no alpha carves starts as fog, and most samples are spent on clearing it.
        """
        grid = self.marcher.grid
        near = torch.zeros(grid**3, dtype=torch.bool, device=points.device)
        near[self.marcher.cell(points.t().float())] = True
        self.occupancy.guess(jump_field(near, grid) <= 0.0)

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray in the render graph: its lattice, nothing else."""
        return {"lattice_points": float(self.marcher.points)}

    def truncated_rays(self, ray_origins: Tensor, ray_directions: Tensor) -> Tensor:  # noqa: ARG002
        """Which rays [R, 3] the render graph ends too early: none, it packs every occupied lattice point."""
        return torch.zeros(ray_origins.shape[0], dtype=torch.bool, device=ray_origins.device)

    def weigh(self, samples: PackedSamples) -> tuple[Tensor, Tensor]:
        """Geometry features [N, geometry_dim] and compositing weights [N] of packed samples."""
        geometry, density = self.density(samples.points)
        return geometry, compositing_weights(density * samples.delta, samples.offsets, samples.ray_index)

    def density(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-cube points [3, N] -> geometry features [N, geometry_dim], density [N] per world unit."""
        geometry = self.density_net(self.encoding(points))
        return geometry, torch.exp(geometry[:, 0].clamp(-15.0, 15.0)) * self.density_scale

    def color(self, geometry: Tensor, basis: Tensor) -> Tensor:
        """Geometry features [N, geometry_dim] and direction basis [N, 16] -> sRGB [N, 3] in (0, 1)."""
        return torch.sigmoid(self.color_net(torch.cat([geometry, basis], dim=1)))

    def sky(self, basis: Tensor) -> Tensor:
        """Direction basis [R, 16] -> colour behind everything, sRGB [R, 3] in (0, 1)."""
        return torch.sigmoid(self.sky_net(basis))

    @torch.jit.unused
    def render_training(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float = 1e-4
    ) -> TrainingRender:
        """Render rays [3, R] with jitter [R] in [0, 1), differentiably and without background.

        Samples that less than the share `visible` of light reaches are left out.
        """
        samples = self.marcher(origins, directions, self.occupancy.jump, jitter)
        if visible > 0.0:
            samples = self.visible(samples, visible)
        geometry, weights = self.weigh(samples)
        basis = spherical_harmonics(directions)
        color = self.color(geometry, basis.index_select(0, samples.ray_index)).t()
        summed = segment_sum(torch.cat([color * weights, weights[None]]), samples.offsets)
        rgb, opacity = summed[:3], summed[3]
        if self.sky_enabled:
            rgb, opacity = rgb + (1.0 - opacity) * self.sky(basis).t(), torch.ones_like(opacity)
        return TrainingRender(rgb, opacity, len(samples.t))

    @torch.no_grad()
    def visible(self, samples: PackedSamples, least: float) -> PackedSamples:
        """The samples that more than the share `least` of light reaches."""
        _, density = self.density(samples.points)
        kept = transmittance(density * samples.delta, samples.offsets, samples.ray_index) > least
        counts = torch.zeros(len(samples.offsets) - 1, dtype=torch.int64, device=kept.device)
        counts.index_add_(0, samples.ray_index, kept.long())
        index = kept.nonzero().flatten()
        return PackedSamples(
            samples.points.index_select(1, index),
            samples.t[index],
            samples.delta[index],
            samples.ray_index[index],
            nn.functional.pad(counts.cumsum(0), (1, 0)),
        )
