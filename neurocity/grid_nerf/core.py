"""Grid-NeRF: planes and lines of features, read by a grid branch and a NeRF branch (Xu et al., CVPR 2023).

Notation
    G_sigma, G_c [N, .] density and appearance features of the grid at N points
    grid branch   sigma = MLP(G_sigma), c = MLP(G_c, direction)
    NeRF branch   sigma' = sigma exp(r), with r, c' = MLP(G_sigma, G_c, PE(x), direction), sampled where the
                  grid branch sees matter; the paper's network gives sigma' itself

Directions enter both branches as spherical harmonics of bands 0 to 3, as in the other families, where the
paper has sines and cosines of them.
"""

import torch
from torch import Tensor

from neurocity.family import render_model
from neurocity.grid_nerf.config import GridNeRFConfig
from neurocity.grid_nerf.nerf_branch import NeRFBranch
from neurocity.grid_nerf.planes import Mode, PlaneLineFeatures
from neurocity.kernels.plane_field import SETS
from neurocity.kernels.scene import SceneData
from neurocity.rendering.compositing import compositing_weights, row_weights, segment_sum
from neurocity.rendering.cpu_kernels import arrays
from neurocity.rendering.fixed_budget import RowSamples
from neurocity.rendering.graph_target import materialize
from neurocity.rendering.kernel_field import KernelField, march_arrays, march_settings, network_arrays
from neurocity.rendering.marched_field import MarchedRender
from neurocity.rendering.marching import PackedSamples
from neurocity.rendering.mlp import MLP
from neurocity.rendering.spherical_harmonics import COEFFICIENTS, spherical_harmonics

__all__ = ["GridNeRF", "GridNeRFConfig"]


@render_model
class GridNeRF(KernelField):
    """Radiance field of planes, lines and two branches; see `GridNeRFConfig`.

    It is made with few vertices (`initial_resolution`); training grows them.
    """

    extents: Tensor

    def __init__(self, config: GridNeRFConfig) -> None:
        super().__init__(config)
        self.config = config
        self.guide_weight = config.guide_weight
        self.branches = 2
        self.nerf_rendered = config.render_branch == "nerf"
        extents = (self.marcher.high - self.marcher.low) / self.marcher.side
        if config.unbounded:  # contracted space fills the cube
            extents = torch.ones(3)
        self.register_buffer("extents", extents[:, None], persistent=False)
        self.density_features = self._features(config.density_components)
        self.appearance_features = self._features(config.appearance_components)
        hidden = config.hidden_dim
        self.density_net = MLP(self.density_features.width, *(hidden,) * config.density_layers, 1)
        inputs = self.appearance_features.width + COEFFICIENTS
        self.color_net = MLP(inputs, *(hidden,) * config.color_layers, 3)
        self.nerf = NeRFBranch(config, self.density_features.width, self.appearance_features.width)

    def _features(self, components: int) -> PlaneLineFeatures:
        return PlaneLineFeatures(
            initial=self.vertices(self.config.initial_resolution),
            final=self.vertices(self.config.final_resolution),
            modes=modes_of(self.config),
            divisors=self.config.resolution_divisors,
            components=components,
        )

    @torch.jit.unused
    def vertices(self, resolution: float) -> tuple[int, int, int]:
        """Vertices along x, y, z for cubic voxels as large as resolution^3 equal ones of the box."""
        extents = self.extents[:, 0].double()
        voxel = float(extents.prod()) ** (1 / 3) / resolution
        x, y, z = (max(2, round(float(extent) / voxel)) for extent in extents)
        return x, y, z

    def in_box(self, points: Tensor) -> Tensor:
        """Points [3, N] of the unit cube, along the box: [0, 1] on every axis."""
        return (points / self.extents).clamp(0.0, 1.0)

    def density(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-cube points [3, N] -> density features [N, .], grid branch's density [N] per world unit."""
        features = self.density_features(self.in_box(points))
        return features, density_activation(self.density_net(features)[:, 0]) * self.density_scale

    def color(self, points: Tensor, features: Tensor, basis: Tensor) -> Tensor:
        """Points [3, N], their features, direction basis [N, 16] -> sRGB [N, 3] of the rendered branch."""
        appearance = self.appearance_features(self.in_box(points))
        if self.nerf_rendered:
            return self.nerf.color(features, appearance, basis)
        return self.grid_color(appearance, basis)

    def grid_color(self, appearance: Tensor, basis: Tensor) -> Tensor:
        """Appearance features [N, .], direction basis [N, 16] -> sRGB [N, 3] of the grid branch."""
        return torch.sigmoid(self.color_net(torch.cat([appearance, basis], dim=1)))

    def compute_weights(self, samples: PackedSamples, arriving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of a `MarchedField`, of the rendered branch; arriving [2, R]: the grid branch's and its own."""
        features, density = self.density(samples.points)
        tau = density * samples.delta
        weights = materialize(self.absorbed(tau, samples, arriving[0]))
        leaving = arriving * torch.exp(-segment_sum(tau, samples.offsets))
        if self.nerf_rendered:
            features, tau = self.nerf_depths(samples, features, tau, weights)
            weights = materialize(self.absorbed(tau, samples, arriving[1]))
            own = arriving[1] * torch.exp(-segment_sum(tau, samples.offsets))
            leaving = torch.stack([leaving[0], own])
        return features, weights, leaving

    def nerf_depths(
        self, samples: PackedSamples, features: Tensor, tau: Tensor, guide: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The NeRF branch's hidden layer [N, .] and optical depths [N].

        features [N, .], optical depths tau [N] and guide [N], the weights, are those of the grid branch. The
        NeRF branch's density is a factor of theirs: the second stage begins with what the first one found.
        """
        seen = (guide > self.guide_weight).nonzero().flatten()
        points = self.in_box(samples.points.index_select(1, seen))
        hidden, log_factor = self.nerf(points, features.index_select(0, seen))
        # Fading in, up to twice the least guide weight, keeps renders continuous in rays and weights.
        fade = (guide.detach().index_select(0, seen) / self.guide_weight - 1.0).clamp(0.0, 1.0)
        seen_tau = tau.index_select(0, seen) * density_activation(log_factor) * fade
        everywhere = torch.zeros(guide.shape[0], hidden.shape[1], dtype=hidden.dtype, device=hidden.device)
        return everywhere.index_copy(0, seen, hidden), torch.zeros_like(guide).index_copy(0, seen, seen_tau)

    def compute_row_weights(self, samples: RowSamples) -> tuple[Tensor, Tensor]:
        """`compute_weights` of rows; what the packed graph keeps from the NeRF branch fades to nothing."""
        features, density = self.density(samples.points)
        tau = self.optical_depths(density, samples)
        guide = row_weights(tau)
        if not self.nerf_rendered:
            return features, guide
        hidden, log_factor = self.nerf(self.in_box(samples.points), features)
        fade = (guide / self.guide_weight - 1.0).clamp(0.0, 1.0)
        return hidden, row_weights(tau * density_activation(log_factor).view_as(tau) * fade)

    @torch.jit.unused
    def kernel_data(self) -> SceneData:
        """See `KernelField.kernel_data`."""
        tensors = {"extents": self.extents.flatten(), "axes": self.density_features.axes.int()}
        for name, features in zip(SETS, self.feature_sets(), strict=True):
            tensors[f"{name}.planes"], tensors[f"{name}.lines"] = features.planes, features.lines
            tensors[f"{name}.sizes"], tensors[f"{name}.starts"] = features.sizes.int(), features.starts.int()
        networks = {"density_net": self.density_net, "color_net": self.color_net}
        if self.nerf_rendered:
            networks |= {"trunk": self.nerf.trunk, "color_net": self.nerf.color_net}
        own = dict(zip(tensors, arrays(*tensors.values()), strict=True))
        frequencies = self.config.nerf_frequencies if self.nerf_rendered else 0
        return SceneData(
            "plane_field",
            {**march_arrays(self, self.occupancy.jump), **own, **network_arrays(networks)},
            {
                **march_settings(self),
                "guide_weight": self.guide_weight,
                "frequencies": float(frequencies),
            },
        )

    @torch.jit.unused
    def feature_sets(self) -> tuple[PlaneLineFeatures, PlaneLineFeatures]:
        """Density and appearance features."""
        return self.density_features, self.appearance_features

    @torch.jit.unused
    def render_branches(
        self, origins: Tensor, directions: Tensor, jitter: Tensor, visible: float, *, nerf: bool
    ) -> list[MarchedRender]:
        """Training rays by the grid branch and, with `nerf`, by the NeRF branch, whichever eval renders.

        Other arguments as for `render_training`.
        """
        samples = self.training_samples(origins, directions, jitter, visible)
        features, density = self.density(samples.points)
        tau = density * samples.delta
        weights = compositing_weights(tau, samples.offsets, samples.ray_index)
        # What the grid branch does not show, the NeRF branch has no weight at.
        seen = (weights > min(self.visible_weight, self.guide_weight)).nonzero().flatten()
        appearance = self.appearance_features(self.in_box(samples.points.index_select(1, seen)))
        basis = spherical_harmonics(directions)
        basis_seen = basis.index_select(0, samples.ray_index.index_select(0, seen))
        branches = [(weights, self.grid_color(appearance, basis_seen))]
        if nerf:
            hidden, nerf_tau = self.nerf_depths(samples, features, tau, weights)
            nerf_weights = compositing_weights(nerf_tau, samples.offsets, samples.ray_index)
            branches.append(
                (nerf_weights, self.nerf.color(hidden.index_select(0, seen), appearance, basis_seen))
            )
        renders = []
        for branch_weights, color in branches:
            light = color.t() * branch_weights.index_select(0, seen)
            light = torch.zeros_like(samples.points).index_copy(1, seen, light)
            renders.append(self.composite(samples, light, branch_weights, basis))
        return renders


def density_activation(log_density: Tensor) -> Tensor:
    """Positive values [N] of a network's outputs [N]."""
    return torch.exp(log_density.clamp(-15.0, 15.0))


def modes_of(config: GridNeRFConfig) -> list[Mode]:
    """The planes and lines of a scene: the ground with the vertical, for objects all three pairs."""
    vertical = "xyz".index(config.up_axis)
    ground = [axis for axis in range(3) if axis != vertical]
    if config.mode == "city":
        return [(ground[0], ground[1], vertical)]
    return [(0, 1, 2), (0, 2, 1), (1, 2, 0)]
