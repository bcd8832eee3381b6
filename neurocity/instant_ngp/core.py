"""Instant-NGP: a field of a hash grid and two small networks (Müller et al. 2022, section 5.4)."""

import torch
from torch import Tensor

from neurocity.family import render_model
from neurocity.instant_ngp import native
from neurocity.instant_ngp.config import InstantNGPConfig
from neurocity.instant_ngp.native import render_hash_field
from neurocity.kernels.scene import SceneData
from neurocity.rendering.cpu_kernels import arrays
from neurocity.rendering.hash_grid import HashGrid
from neurocity.rendering.marched_field import MarchedField
from neurocity.rendering.mlp import MLP
from neurocity.rendering.native_scene import march_arrays, march_settings, network_arrays
from neurocity.rendering.spherical_harmonics import COEFFICIENTS

__all__ = ["InstantNGP", "InstantNGPConfig"]


@render_model
class InstantNGP(MarchedField):
    """Radiance field with a multiresolution hash encoding; see `InstantNGPConfig`."""

    def __init__(self, config: InstantNGPConfig) -> None:
        super().__init__(config)
        self.config = config
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

    def density(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-cube points [3, N] -> geometry features [N, geometry_dim], density [N] per world unit."""
        geometry = self.density_net(self.encoding(points))
        return geometry, torch.exp(geometry[:, 0].clamp(-15.0, 15.0)) * self.density_scale

    def color(self, points: Tensor, features: Tensor, basis: Tensor) -> Tensor:  # noqa: ARG002
        """Geometry features [N, geometry_dim] and direction basis [N, 16] -> sRGB [N, 3] in (0, 1)."""
        return torch.sigmoid(self.color_net(torch.cat([features, basis], dim=1)))

    @torch.jit.unused
    def kernel_data(self) -> SceneData:
        """See `MarchedField.kernel_data`."""
        grid = self.encoding
        table, scales, factors = arrays(grid.table, grid.scales, grid.axis_factors.flatten(1).int())
        networks = network_arrays({"density_net": self.density_net, "color_net": self.color_net})
        march = march_arrays(self, self.occupancy.jump)
        return SceneData(
            "hash_field",
            {**march, "table": table, "scales": scales, "factors": factors, **networks},
            {**march_settings(self), "dense_levels": float(grid.dense_levels), "xor": float(grid.xor)},
        )

    @torch.jit.unused
    def scene_data(self) -> SceneData:
        """See `family.NativeModel`."""
        return native.scene_data(self, arrays(self.encoding.table)[0].dtype.type)

    @torch.jit.unused
    def sum_by_native_operator(self, origins: Tensor, directions: Tensor, basis: Tensor) -> Tensor:
        """`sum_in_rounds` by one operator; see `native`."""
        grid = self.encoding
        return render_hash_field(
            *self.marcher.native_arguments(origins, directions, self.occupancy.jump),
            basis,
            grid.table,
            grid.scales,
            grid.axis_factors.flatten(1).long(),
            grid.dense_levels,
            int(grid.xor),
            self.density_net.flat_weights(),
            self.color_net.flat_weights(),
            self.config.hidden_dim,
            self.config.geometry_dim,
            self.config.color_layers,
            self.density_scale,
            self.visible_weight,
            self.least_light,
        )
