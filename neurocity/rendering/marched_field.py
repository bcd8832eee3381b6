"""A field of density and colour, rendered by an occupancy-guided march (Müller et al. 2022, appendix E).

Notation
    R rays; N samples of all rays together, packed as in `rendering.marching`; C features of a sample
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from neurocity.rendering.compositing import compositing_weights, row_weights, segment_sum, transmittance
from neurocity.rendering.field_config import MarchedFieldConfig
from neurocity.rendering.fixed_budget import NEGLIGIBLE_LIGHT, FixedBudget, RowSamples, first_occupied
from neurocity.rendering.graph_target import gather_rows, materialize
from neurocity.rendering.marching import PackedSamples, RayMarcher, kept_samples
from neurocity.rendering.mlp import SkyNet, halve
from neurocity.rendering.occupancy import OccupancyGrid, jump_field
from neurocity.rendering.packed import in_round, rank_within_ray
from neurocity.rendering.render import RayRender
from neurocity.rendering.spherical_harmonics import spherical_harmonics

VISIBLE_LIGHT = 1.0 / 255.0
"""A sample gets no colour in eval where a whole ray of its weight would add up to less."""

TERMINATION_ROUNDS: Final = (24, 48, 2**31)
"""Samples of a ray that have been rendered after each round of an eval render. Most rays end at a surface,
within few samples of it; each further round costs a pass over what is left."""


class MarchedRender(NamedTuple):
    """A differentiable render of training rays.

    rgb [R, 3]: accumulated radiance without background. opacity [R]. matter [R]: opacity without the sky.
    samples: N of them, with compositing weights [N].
    """

    rgb: Tensor
    opacity: Tensor
    matter: Tensor
    samples: PackedSamples
    weights: Tensor


class MarchedField(nn.Module):
    """March, compositing and sky around a field; a family defines `density` and `color`."""

    needs_ray_radii = False

    def __init__(self, config: MarchedFieldConfig) -> None:
        super().__init__()
        self.marcher = RayMarcher(config)
        self.sky_enabled = config.sky
        # Density is per side of the scene's cube, so that a scene's units do not matter.
        self.density_scale = config.initial_density / self.marcher.side
        self.visible_weight = VISIBLE_LIGHT / self.marcher.points
        self.branches = 1  # densities that light is followed through
        # TorchScript reads attributes, not globals.
        self.termination_rounds = TERMINATION_ROUNDS
        self.least_light = NEGLIGIBLE_LIGHT
        self.occupancy = OccupancyGrid(self.marcher.grid)
        self.sky_net = SkyNet()

    def density(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-cube points [3, N] -> features [N, C] for `color`, density [N] per world unit."""
        raise NotImplementedError

    def color(self, points: Tensor, features: Tensor, basis: Tensor) -> Tensor:
        """Unit-cube points [3, N], features [N, C], direction basis [N, 16] -> sRGB [N, 3] in (0, 1)."""
        raise NotImplementedError

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        return self.render(ray_origins, ray_directions)

    def render(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """The definition of `forward`."""
        origins, directions = ray_origins.t(), ray_directions.t()
        basis = spherical_harmonics(directions)
        summed = self.sum_in_rounds(origins, directions, basis)
        return self.composite_over_sky(summed[:3], summed[3], summed[4], basis)

    def sum_in_rounds(self, origins: Tensor, directions: Tensor, basis: Tensor) -> Tensor:
        """Sums [5, R] of weighted colour, weight times depth, and weight along rays [3, R]."""
        midpoints = torch.full_like(origins[0], 0.5)
        samples = self.marcher(origins, directions, self.occupancy.jump, midpoints)
        rank = rank_within_ray(samples.ray_index, samples.offsets)
        arriving = torch.ones(self.branches, origins.shape[1], dtype=origins.dtype, device=origins.device)
        summed = torch.zeros(5, origins.shape[1], dtype=origins.dtype, device=origins.device)
        first = 0
        for last in self.termination_rounds:
            lit = arriving.amin(0) > self.least_light
            part = kept_samples(samples, in_round(lit, samples.ray_index, rank, first, last))
            features, weights, arriving = self.compute_weights(part, arriving)
            light = self.light(part, features, weights, basis)
            values = torch.cat([light, (weights * part.t)[None], weights[None]])
            summed = summed + segment_sum(values, part.offsets)
            first = last
        return summed

    def composite_over_sky(self, rgb: Tensor, depth: Tensor, opacity: Tensor, basis: Tensor) -> RayRender:
        """The render of summed light [3, R], depth times weight [R] and weight [R], over the sky if any."""
        if self.sky_enabled:
            rest = (1.0 - opacity).clamp_min(0.0)
            rgb = rgb + rest * self.sky_net(basis).t()
            depth = depth + rest * self.marcher.far
            opacity = torch.ones_like(opacity)
        opacity = opacity.clamp(0.0, 1.0)
        return RayRender(rgb.t(), depth / opacity.clamp_min(1e-6), opacity)

    def compute_weights(self, samples: PackedSamples, arriving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [N, C] and compositing weights [N] of packed samples, and what light [B, R] leaves them.

        arriving [B, R]: the share of light that reaches the first sample of a ray, by `branches`.
        """
        features, density = self.density(samples.points)
        tau = density * samples.delta
        weights = materialize(self.absorbed(tau, samples, arriving[0]))
        return features, weights, arriving * torch.exp(-segment_sum(tau, samples.offsets))

    def absorbed(self, tau: Tensor, samples: PackedSamples, arriving: Tensor) -> Tensor:
        """Compositing weights [N] of optical depths [N], where the share `arriving` [R] of light comes in."""
        weights = compositing_weights(tau, samples.offsets, samples.ray_index)
        return weights * gather_rows(arriving, samples.ray_index)

    def compute_row_weights(self, samples: RowSamples) -> tuple[Tensor, Tensor]:
        """Features [R K, C] and compositing weights [R, K] of rows, zero where nothing was found."""
        features, density = self.density(samples.points)
        return features, row_weights(self.optical_depths(density, samples))

    def optical_depths(self, density: Tensor, samples: RowSamples) -> Tensor:
        """Optical depths [R, K] of rows with densities [R K], zero where nothing was found."""
        return torch.where(samples.found, density.view_as(samples.t) * samples.delta, 0.0)

    def light(self, samples: PackedSamples, features: Tensor, weights: Tensor, basis: Tensor) -> Tensor:
        """Weighted colours [3, N] of samples; zero where they are too faint to be seen."""
        seen = (weights > self.visible_weight).nonzero().flatten()
        color = self.color(
            gather_rows(samples.points, seen),
            features.index_select(0, seen),
            basis.index_select(0, gather_rows(samples.ray_index, seen)),
        ).t()
        return torch.zeros_like(samples.points).index_copy(1, seen, color * gather_rows(weights, seen))

    @torch.jit.unused
    def start_from_points(self, points: Tensor) -> None:
        """Expect matter near sparse world points [N, 3] first; it can grow from there.

        Without this a scene that no alpha carves starts as fog, and most samples are spent on clearing it.
        """
        grid = self.marcher.grid
        near = torch.zeros(grid**3, dtype=torch.bool, device=points.device)
        near[self.marcher.cell(points.t().float())] = True
        self.occupancy.guess(jump_field(near, grid) <= 0.0)

    @torch.jit.unused
    def halve(self) -> None:
        """Keep all parameters, which are tables and networks, in float16."""
        halve(self)

    @torch.jit.unused
    def fixed_budget(self, samples: int) -> nn.Module:
        """The render graph with at most `samples` samples a ray, which shares this field's parameters."""
        return FixedBudget(self, min(samples, self.marcher.points))

    @torch.jit.unused
    def render_rows(self, samples: int, *rays: Tensor) -> RayRender:
        """`forward` with the first `samples` occupied lattice points of a ray."""
        origins, directions = (plane.t() for plane in rays)
        rows = first_occupied(self.marcher, origins, directions, self.occupancy.jump, samples)
        features, weights = self.compute_row_weights(rows)
        basis = spherical_harmonics(directions)
        basis_of_samples = basis[:, None, :].expand(-1, samples, -1).flatten(0, 1)
        color = self.color(rows.points, features, basis_of_samples).view(-1, samples, 3)
        seen = torch.where(weights > self.visible_weight, weights, 0.0)
        rgb = (seen[:, :, None] * color).sum(1).t()
        return self.composite_over_sky(rgb, (weights * rows.t).sum(1), weights.sum(1), basis)

    @torch.jit.unused
    def samples_needed(self, ray_origins: Tensor, ray_directions: Tensor) -> Tensor:
        """How many samples the fixed budget needs for rays [R, 3] to lose no light that counts: [R] int64."""
        origins, directions = ray_origins.t(), ray_directions.t()
        midpoints = torch.full_like(origins[0], 0.5)
        samples = self.marcher(origins, directions, self.occupancy.jump, midpoints)
        return self.visible(samples, NEGLIGIBLE_LIGHT).offsets.diff()

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray in the render graph: its lattice, nothing else."""
        return {"lattice_points": float(self.marcher.points)}

    @torch.jit.unused
    def render_training(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float = 1e-4
    ) -> MarchedRender:
        """Render rays [3, R] with jitter [R] in [0, 1), differentiably and without background.

        Samples that less than the share `visible` of light reaches are left out.
        """
        samples = self.training_samples(origins, directions, jitter, visible)
        features, weights, _ = self.compute_weights(
            samples, directions.new_ones(self.branches, directions.shape[1])
        )
        basis = spherical_harmonics(directions)
        return self.composite(samples, self.light(samples, features, weights, basis), weights, basis)

    @torch.jit.unused
    def training_samples(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float
    ) -> PackedSamples:
        """The samples of training rays; arguments as for `render_training`."""
        samples = self.marcher(origins, directions, self.occupancy.jump, jitter)
        return self.visible(samples, visible) if visible > 0.0 else samples

    @torch.jit.unused
    def composite(
        self, samples: PackedSamples, light: Tensor, weights: Tensor, basis: Tensor
    ) -> MarchedRender:
        """Sum light [3, N] and weights [N] of samples along their rays, over the sky if there is one."""
        summed = segment_sum(torch.cat([light, weights[None]]), samples.offsets)
        rgb, opacity = summed[:3], summed[3]
        matter = opacity
        if self.sky_enabled:
            rgb, opacity = rgb + (1.0 - opacity) * self.sky_net(basis).t(), torch.ones_like(opacity)
        return MarchedRender(rgb.t(), opacity, matter, samples, weights)

    @torch.no_grad()
    def visible(self, samples: PackedSamples, least: float) -> PackedSamples:
        """The samples that more than the share `least` of light reaches, found in rounds like a render."""
        rank = rank_within_ray(samples.ray_index, samples.offsets)
        arriving = samples.t.new_ones(len(samples.offsets) - 1)
        kept = torch.zeros_like(samples.ray_index, dtype=torch.bool)
        first = 0
        for last in self.termination_rounds:
            asked = in_round(arriving > least, samples.ray_index, rank, first, last)
            part = kept_samples(samples, asked)
            _, density = self.density(part.points)
            tau = density * part.delta
            reached = transmittance(tau, part.offsets, part.ray_index)
            kept[asked] = reached * gather_rows(arriving, part.ray_index) > least
            arriving = arriving * torch.exp(-segment_sum(tau, part.offsets))
            first = last
        return kept_samples(samples, kept)
