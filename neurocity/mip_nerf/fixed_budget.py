"""Mip-NeRF without packing, for runtimes without shapes that depend on values: every ray is a cone, an empty
one where it can meet nothing."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurocity.errors import ConfigError
from neurocity.mip_nerf.cones import Cones
from neurocity.rendering.render import RayRender

if TYPE_CHECKING:
    from neurocity.mip_nerf.core import MipNeRF


class FixedBudgetCones(nn.Module):
    """Renders `model`, whose parameters it shares, with the frustums that both its passes always take.

    Raises ConfigError when `samples` is another number: the second pass divides all of a ray's span.
    """

    def __init__(self, model: "MipNeRF", samples: int) -> None:
        super().__init__()
        taken = model.coarse_samples + model.fine_samples
        if samples != taken:
            raise ConfigError(
                f"samples: got {samples}, Mip-NeRF takes {taken} a ray ({model.coarse_samples} coarse, "
                f"{model.fine_samples} fine), as it was trained to; leave --samples out"
            )
        self.model = model
        self.training = model.training

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        model = self.model
        origins = model.space.to_unit(ray_origins)
        begin, end = model.space.span(origins, ray_directions)
        hit = end > begin
        # An empty cone has frustums without length, and so no light.
        begin = torch.where(hit, begin, model.space.near)
        end = torch.where(hit, end, begin)
        radii = model.mean_radius.expand(ray_origins.shape[0], 1)
        light = model.render_cones(Cones(origins, ray_directions, radii, begin, end))
        return model.before_sky(light, ray_directions)
