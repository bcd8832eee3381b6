"""Instant-NGP: a field of a hash grid and two small networks (Müller et al. 2022, section 5.4)."""

import torch
from torch import Tensor

from neurocity.family import render_model
from neurocity.instant_ngp.config import InstantNGPConfig
from neurocity.kernels.scene import SceneData
from neurocity.rendering.cpu_kernels import arrays
from neurocity.rendering.hash_grid import HashGrid
from neurocity.rendering.kernel_field import KernelField, march_arrays, march_settings, network_arrays
from neurocity.rendering.mlp import MLP
from neurocity.rendering.spherical_harmonics import COEFFICIENTS

__all__ = ["InstantNGP", "InstantNGPConfig"]


@render_model
class InstantNGP(KernelField):
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
        """See `KernelField.kernel_data`."""
        grid = self.encoding
        table, scales, factors = arrays(grid.table, grid.scales, grid.axis_factors.flatten(1).int())
        networks = network_arrays({"density_net": self.density_net, "color_net": self.color_net})
        march = march_arrays(self, self.occupancy.jump)
        return SceneData(
            "hash_field",
            {**march, "table": table, "scales": scales, "factors": factors, **networks},
            {**march_settings(self), "dense_levels": float(grid.dense_levels), "xor": float(grid.xor)},
        )
