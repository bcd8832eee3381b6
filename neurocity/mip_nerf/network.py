"""The network of Mip-NeRF: one for both passes (Barron et al. 2021, section 3.1 and appendix)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocity.mip_nerf.config import MipNeRFConfig
from neurocity.rendering.mlp import halve


class MipNetwork(nn.Module):
    """Encoded positions and view directions -> raw densities and colours.

    Hidden ReLU layers, one of which sees the encoding again; the density is read from the last, the colour
    from a bottleneck of it and the view direction. Glorot-uniform, biases zero. Outputs have the precision
    of the hidden layers' weights, whatever autocast multiplies in.
    """

    def __init__(self, config: MipNeRFConfig) -> None:
        super().__init__()
        positions, views = 6 * config.position_degrees, 3 + 6 * config.direction_degrees
        self.skip_layer = config.skip_layer
        self.halved = False
        inputs = [positions, *[config.width] * (config.depth - 1)]
        if config.skip_layer + 1 < config.depth:
            inputs[config.skip_layer + 1] += positions
        self.hidden = nn.ModuleList(nn.Linear(count, config.width) for count in inputs)
        self.density_layer = nn.Linear(config.width, 1)
        self.bottleneck_layer = nn.Linear(config.width, config.bottleneck_width)
        self.view_layer = nn.Linear(config.bottleneck_width + views, config.color_width)
        self.color_layer = nn.Linear(config.color_width, 3)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def features(self, encoded: Tensor) -> Tensor:
        """Encoded positions [..., 6 L] -> output of the hidden layers [..., width]."""
        values = encoded
        for index, layer in enumerate(self.hidden):
            if index == self.skip_layer + 1:
                values = torch.cat([values, encoded], dim=-1)
            values = functional.relu(layer(values))
        return values

    def density(self, features: Tensor) -> Tensor:
        """Features [..., width] -> raw densities [...]."""
        raw: Tensor = self.density_layer(features)
        return self.precise(raw.squeeze(-1))

    def color(self, features: Tensor, views: Tensor) -> Tensor:
        """Features [R, N, width] and encoded view directions [R, V] -> raw colours [R, N, 3]."""
        # Nothing but a sum lies between the bottleneck and the next layer: their matrices are multiplied, not
        # the samples twice. And the view direction's part is the same for all samples of a ray.
        layer, bottleneck = self.view_layer, self.bottleneck_layer
        if self.halved:
            features, views = features.half(), views.half()
        inner, outer = layer.weight.split([bottleneck.weight.shape[0], views.shape[1]], dim=1)
        by_ray = functional.linear(views, outer, layer.bias + inner @ bottleneck.bias)
        by_sample = functional.linear(features, inner @ bottleneck.weight)
        raw: Tensor = self.color_layer(functional.relu(by_sample + by_ray[:, None]))
        return self.precise(raw)

    def precise(self, raw: Tensor) -> Tensor:
        """Raw outputs in the precision that the rest of the model computes in."""
        return raw.to(self.density_layer.weight.dtype)

    @torch.jit.unused
    def halve(self) -> None:
        """Compute colours in float16. Densities stay float32: the second pass looks where they tell it to,
        and their rounding moved the colours of thin parts by up to 0.1.
        """
        self.halved = True
        halve(self.bottleneck_layer, self.view_layer, self.color_layer)
