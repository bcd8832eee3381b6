"""Mip-NeRF: cones instead of rays, integrated positional encoding, two passes of one network (Barron et al.
2021; for unbounded scenes with the contraction of Barron et al. 2022).

Notation
    R rays, N frustums a ray between N + 1 fence posts; fence posts are places s of `scene_space`
    tau [R, N]  optical depth of a frustum, density * length
    w [R, N]    compositing weights, transmittance * (1 - exp(-tau))
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocity.errors import ConfigError
from neurocity.family import render_model
from neurocity.mip_nerf.cones import Cones, frustum_gaussians
from neurocity.mip_nerf.config import MipNeRFConfig
from neurocity.mip_nerf.encoding import frequencies, integrated_encoding, positional_encoding
from neurocity.mip_nerf.network import MipNetwork
from neurocity.mip_nerf.resampling import (
    blurred,
    even_quantiles,
    jittered,
    positions_by_weight,
    stratified_quantiles,
)
from neurocity.mip_nerf.scene_space import SceneSpace
from neurocity.rendering.compositing import row_weights
from neurocity.rendering.cpu_kernels import kernels_apply
from neurocity.rendering.fixed_budget import FixedBudget
from neurocity.rendering.mlp import SkyNet, halve
from neurocity.rendering.render import RayRender, TrainingRender
from neurocity.rendering.spherical_harmonics import spherical_harmonics

__all__ = ["MipNeRF", "MipNeRFConfig"]

UNTRAINED_RADIUS = 1e-3
"""Cone radius that stands for absent ones before training has set that of its cameras: about that of a pixel
of a picture with 400 columns and 40 degrees."""
SAMPLES_PER_CALL = 2**15
"""Keeps the intermediate tensors of a CPU call small enough that the allocator reuses their memory."""


@render_model
class MipNeRF(nn.Module):
    """Radiance field with integrated positional encoding; see `MipNeRFConfig`."""

    needs_ray_radii = True

    mean_radius: Tensor
    position_scales: Tensor
    direction_scales: Tensor

    def __init__(self, config: MipNeRFConfig) -> None:
        super().__init__()
        self.config = config
        self.integrated = config.integrated
        self.coarse_samples = config.coarse_samples
        self.fine_samples = config.fine_samples
        self.resampling_padding = config.resampling_padding
        self.density_bias = config.density_bias
        self.density_scale = config.density_scale
        self.color_padding = config.color_padding
        self.space = SceneSpace(config)
        self.network = MipNetwork(config)
        self.sky_net = SkyNet() if config.sky else None
        self.register_buffer("mean_radius", torch.tensor(UNTRAINED_RADIUS))
        self.register_buffer("position_scales", frequencies(config.position_degrees), persistent=False)
        self.register_buffer("direction_scales", frequencies(config.direction_degrees), persistent=False)

    def forward(
        self, ray_origins: Tensor, ray_directions: Tensor, ray_radii: Tensor | None = None
    ) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`.

        ray_radii [R, 1]: see `radii_or_mean`.
        """
        hit, cones = self.cast(ray_origins, ray_directions, self.radii_or_mean(ray_origins, ray_radii))
        light = self.render_in_parts(cones) if kernels_apply(cones.begin) else self.render_cones(cones)
        rendered = torch.zeros(ray_origins.shape[0], 5, dtype=light.dtype, device=light.device)
        return self.composite_over_sky(rendered.index_copy(0, hit, light), ray_directions)

    def radii_or_mean(self, ray_origins: Tensor, ray_radii: Tensor | None) -> Tensor:
        """Cones' radii [R, 1] at unit distance, for rays [R, 3].

        The mean of the training cameras' stands in for radii that are absent, and for each that is not
        positive (0, negative, NaN): who knows no camera gives zeros.
        """
        mean = self.mean_radius.expand(ray_origins.shape[0], 1)
        return mean if ray_radii is None else torch.where(ray_radii > 0.0, ray_radii, mean)

    def composite_over_sky(self, light: Tensor, ray_directions: Tensor) -> RayRender:
        """The render of what `render_cones` gave of all rays, [R, 5], over the sky if there is one."""
        rgb, tau, distance = light.split([3, 1, 1], dim=1)
        opacity = -torch.expm1(-tau)
        if self.sky_net is not None:
            rest = torch.exp(-tau)
            rgb = rgb + rest * self.sky_net(spherical_harmonics(ray_directions.t()))
            distance = distance + rest * self.space.far
            opacity = torch.ones_like(opacity)
        depth = distance * self.space.half_side / opacity.clamp_min(1e-6)
        return RayRender(rgb, depth.squeeze(1), opacity.squeeze(1))

    def cast(self, ray_origins: Tensor, ray_directions: Tensor, radii: Tensor) -> tuple[Tensor, Cones]:
        """Which world rays [R, 3] with radii [R, 1] can meet matter, [K] int64, and their cones."""
        origins = self.space.to_unit(ray_origins)
        begin, end = self.space.span(origins, ray_directions)
        hit = (end > begin).nonzero().flatten()
        cones = Cones(
            origins.index_select(0, hit),
            ray_directions.index_select(0, hit),
            radii.index_select(0, hit),
            begin.index_select(0, hit),
            end.index_select(0, hit),
        )
        return hit, cones

    @torch.jit.unused
    def render_in_parts(self, cones: Cones) -> Tensor:
        """`render_cones` of a part of the cones at a time."""
        size = max(1, SAMPLES_PER_CALL // max(self.coarse_samples, self.fine_samples))
        parts = zip(*(plane.split(size) for plane in cones), strict=True)
        return torch.cat([self.render_cones(Cones(*part)) for part in parts])

    def render_cones(self, cones: Cones) -> Tensor:
        """rgb, sum(tau) and sum(w t) of cones: [R, 5], t in half sides."""
        posts = self.even_posts(cones)
        weights = row_weights(self.optical_depths(self.features(cones, posts), posts))
        quantiles = even_quantiles(self.fine_samples + 1, cones.begin)
        posts = positions_by_weight(posts, blurred(weights, self.resampling_padding), quantiles)
        features = self.features(cones, posts)
        tau = self.optical_depths(features, posts)
        weights = row_weights(tau)
        # Padded colours could exceed the opacity, or be negative.
        color = self.color(features, cones.directions).clamp(0.0, 1.0)
        t = self.space.distance_of(posts)
        middles = (t[:, 1:] + t[:, :-1]) * 0.5
        rgb = (weights[..., None] * color).sum(1)
        return torch.cat([rgb, tau.sum(1)[:, None], (weights * middles).sum(1)[:, None]], dim=1)

    def even_posts(self, cones: Cones) -> Tensor:
        """Fence posts [R, N + 1] of the first pass, even in s along each cone."""
        first, last = self.space.place_of(cones.begin)[:, None], self.space.place_of(cones.end)[:, None]
        return first + (last - first) * even_quantiles(self.coarse_samples + 1, cones.begin)

    def features(self, cones: Cones, posts: Tensor) -> Tensor:
        """Features of the frustums between fence posts [R, N + 1]: [R, N, width]."""
        gaussians = frustum_gaussians(cones, self.space.distance_of(posts), self.space.unbounded)
        if self.integrated:
            encoded = integrated_encoding(gaussians.mean, gaussians.variance, self.position_scales)
        else:
            encoded = positional_encoding(gaussians.mean, self.position_scales)
        return self.network.features(encoded)

    def optical_depths(self, features: Tensor, posts: Tensor) -> Tensor:
        """tau [R, N] of frustums with features [R, N, width] between fence posts."""
        raw = self.network.density(features) + self.density_bias
        t = self.space.distance_of(posts)
        # Density is per half side of the scene's cube, so that a scene's units do not matter.
        return functional.softplus(raw) * (t[:, 1:] - t[:, :-1]) * self.density_scale

    def color(self, features: Tensor, directions: Tensor) -> Tensor:
        """Features [R, N, width] and unit directions [R, 3] -> padded sRGB [R, N, 3]."""
        views = torch.cat([directions, positional_encoding(directions, self.direction_scales)], dim=1)
        padding = self.color_padding
        return torch.sigmoid(self.network.color(features, views)) * (1.0 + 2.0 * padding) - padding

    @torch.jit.unused
    def render_training(
        self, cones: Cones, noise: tuple[Tensor, Tensor], coarse: bool
    ) -> tuple[TrainingRender, TrainingRender | None]:
        """Render cones differentiably: the second pass, and the first one where `coarse` asks for it.

        noise: uniform in [0, 1), [R, coarse_samples + 1] and [R, fine_samples + 1], for the fence posts of
        the passes.
        """
        posts = jittered(self.even_posts(cones), noise[0])
        with torch.set_grad_enabled(coarse and torch.is_grad_enabled()):
            features = self.features(cones, posts)
            weights = row_weights(self.optical_depths(features, posts))
            first = self.composite(features, weights, cones) if coarse else None
        with torch.no_grad():
            envelope = blurred(weights, self.resampling_padding)
            posts = positions_by_weight(posts, envelope, stratified_quantiles(noise[1]))
        features = self.features(cones, posts)
        weights = row_weights(self.optical_depths(features, posts))
        return self.composite(features, weights, cones), first

    def composite(self, features: Tensor, weights: Tensor, cones: Cones) -> TrainingRender:
        """Light of frustums with features [R, N, width] and weights [R, N]."""
        rgb = (weights[..., None] * self.color(features, cones.directions)).sum(1)
        opacity = weights.sum(1)
        if self.sky_net is not None:
            sky = self.sky_net(spherical_harmonics(cones.directions.t()))
            rgb, opacity = rgb + (1.0 - opacity)[:, None] * sky, torch.ones_like(opacity)
        return TrainingRender(rgb, opacity, weights.numel())

    @torch.jit.unused
    def halve(self) -> None:
        """Keep the networks of colours, the sky's too, in float16."""
        self.network.halve()
        if self.sky_net is not None:
            halve(self.sky_net)

    @torch.jit.unused
    def fixed_budget(self, samples: int) -> nn.Module:
        """The render graph without packing, which shares this model's parameters.

        Raises ConfigError unless `samples` is the frustums of both passes, which cannot be chosen anew.
        """
        taken = self.coarse_samples + self.fine_samples
        if samples != taken:
            raise ConfigError(
                f"samples: got {samples}, Mip-NeRF takes {taken} a ray ({self.coarse_samples} coarse, "
                f"{self.fine_samples} fine), as it was trained to; leave --samples out"
            )
        return FixedBudget(self, samples)

    @torch.jit.unused
    def render_rows(
        self,
        samples: int,  # noqa: ARG002, always those of both passes
        ray_origins: Tensor,
        ray_directions: Tensor,
        ray_radii: Tensor | None = None,
    ) -> RayRender:
        """`forward` without packing: every ray is a cone, an empty one where it can meet nothing."""
        origins = self.space.to_unit(ray_origins)
        begin, end = self.space.span(origins, ray_directions)
        hit = end > begin
        # An empty cone has frustums without length, and so no light.
        begin = torch.where(hit, begin, self.space.near)
        radii = self.radii_or_mean(ray_origins, ray_radii)
        cones = Cones(origins, ray_directions, radii, begin, torch.where(hit, end, begin))
        return self.composite_over_sky(self.render_cones(cones), ray_directions)

    @torch.jit.unused
    def samples_needed(self, ray_origins: Tensor, ray_directions: Tensor) -> Tensor:  # noqa: ARG002
        """How many samples the fixed budget needs for rays [R, 3]: the frustums of both passes, [R] int64."""
        return torch.full_like(ray_origins[:, 0], self.coarse_samples + self.fine_samples, dtype=torch.int64)

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray in the render graph: the frustums of its two passes."""
        return {"coarse_samples": float(self.coarse_samples), "fine_samples": float(self.fine_samples)}
