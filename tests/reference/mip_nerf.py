"""Mip-NeRF rendered one ray at a time in double precision, by other ways than the model's: frustum moments as
quotients of integrals, contraction by a numeric Jacobian and full covariances, the inverse of the cumulated
weights by `np.interp`.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from neurocity.mip_nerf.core import MipNeRF
from neurocity.rendering.marching import FAR

from . import compositing, spherical_harmonics


def moments(begin: float, end: float, radius: float) -> tuple[float, float, float]:
    """Mean and variance of the distance, and variance across, of a cone's uniform mass between two ends."""
    volume = (end**3 - begin**3) / 3.0
    mean = (end**4 - begin**4) / 4.0 / volume
    square = (end**5 - begin**5) / 5.0 / volume
    return mean, square - mean**2, radius**2 * square / 4.0


def contract(point: np.ndarray) -> np.ndarray:
    """Barron et al. 2022, equation 10."""
    norm = float(np.linalg.norm(point))
    return point if norm <= 1.0 else (2.0 - 1.0 / norm) * point / norm


def jacobian(function: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    """Central differences."""
    step = 1e-6
    columns = [
        (function(point + step * axis) - function(point - step * axis)) / (2 * step) for axis in np.eye(3)
    ]
    return np.stack(columns, axis=1)


def gaussian(
    origin: np.ndarray, direction: np.ndarray, radius: float, ends: tuple[float, float], contracted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [3] and full covariance [3, 3] of a frustum."""
    mean_t, along, across = moments(*ends, radius)
    mean = origin + mean_t * direction
    line = np.outer(direction, direction)
    covariance = along * line + across * (np.eye(3) - line)
    if contracted:
        matrix = jacobian(contract, mean)
        return contract(mean), matrix @ covariance @ matrix.T
    return mean, covariance


def encode(mean: np.ndarray, variance: np.ndarray, degrees: int, integrated: bool) -> np.ndarray:
    """Expected sines, then cosines, of each coordinate's octaves."""
    sines, cosines = [], []
    for value, spread in zip(mean, variance, strict=True):
        for degree in range(degrees):
            scale = 2.0**degree
            fading = math.exp(-0.5 * scale**2 * spread) if integrated else 1.0
            sines.append(math.sin(scale * value) * fading)
            cosines.append(math.cos(scale * value) * fading)
    return np.array(sines + cosines)


def resample(posts: np.ndarray, weights: np.ndarray, padding: float, quantiles: np.ndarray) -> np.ndarray:
    """Fence posts by the blurred maximum of neighbouring weights."""
    n = len(weights)
    near = [max(weights[max(i - 1, 0)], weights[i]) for i in range(n)]
    far = [max(weights[i], weights[min(i + 1, n - 1)]) for i in range(n)]
    envelope = np.array([(a + b) / 2.0 + padding for a, b in zip(near, far, strict=True)])
    cdf = np.concatenate([[0.0], np.cumsum(envelope / envelope.sum())])
    return np.interp(quantiles, cdf, posts)


class Reference:
    """A model's weights and settings in double precision."""

    def __init__(self, model: MipNeRF) -> None:
        self.config = model.config
        self.state = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
        low, high = np.array(self.config.scene_bounds[:3]), np.array(self.config.scene_bounds[3:])
        self.center, self.half = (low + high) / 2.0, float((high - low).max()) / 2.0

    def layer(self, name: str, values: np.ndarray) -> np.ndarray:
        return self.state[f"network.{name}.weight"] @ values + self.state[f"network.{name}.bias"]

    def density_and_color(self, encoded: np.ndarray, direction: np.ndarray) -> tuple[float, np.ndarray]:
        """Density per half side and padded colour [3]."""
        values = encoded
        for index in range(self.config.depth):
            if index == self.config.skip_layer + 1:
                values = np.concatenate([values, encoded])
            values = np.maximum(self.layer(f"hidden.{index}", values), 0.0)
        raw = self.layer("density_layer", values)[0] + self.config.density_bias
        density = self.config.density_scale * math.log1p(math.exp(raw))
        views = np.concatenate(
            [direction, encode(direction, np.zeros(3), self.config.direction_degrees, integrated=False)]
        )
        joined = np.concatenate([self.layer("bottleneck_layer", values), views])
        raw = self.layer("color_layer", np.maximum(self.layer("view_layer", joined), 0.0))
        padding = self.config.color_padding
        return density, (1.0 + 2.0 * padding) / (1.0 + np.exp(-raw)) - padding

    def distance(self, place: float) -> float:
        """Of a place s along a ray, in half sides."""
        if not self.config.unbounded:
            return place
        return 2.0 + 2.0 * place if place < -0.5 else -1.0 / (2.0 * place)

    def place(self, distance: float) -> float:
        """The inverse of `distance`."""
        if not self.config.unbounded:
            return distance
        return distance / 2.0 - 1.0 if distance < 1.0 else -1.0 / (2.0 * distance)

    def look(
        self, posts: np.ndarray, origin: np.ndarray, direction: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, colours and middles of the frustums between fence posts."""
        t = [self.distance(float(s)) for s in posts]
        tau, colors, middles = [], [], []
        for ends in pairwise(t):
            mean, covariance = gaussian(origin, direction, radius, ends, self.config.unbounded)
            encoded = encode(mean, np.diag(covariance), self.config.position_degrees, self.config.integrated)
            density, color = self.density_and_color(encoded, direction)
            tau.append(density * (ends[1] - ends[0]))
            colors.append(color)
            middles.append(sum(ends) / 2.0)
        weights = np.array(compositing.weights(tau, [0, len(tau)]))
        return weights, np.array(colors), np.array(middles)

    def render_ray(
        self, world_origin: np.ndarray, direction: np.ndarray, radius: float, span: tuple[float, float]
    ) -> tuple[np.ndarray, float, float]:
        """rgb [3], depth and opacity of a ray that counts on `span`, as `neurocity.contract` has them."""
        config = self.config
        origin = (world_origin - self.center) / self.half
        begin, end = (self.place(t) for t in span)
        posts = np.linspace(begin, end, config.coarse_samples + 1)
        weights, _, _ = self.look(posts, origin, direction, radius)
        quantiles = np.linspace(0.0, 1.0, config.fine_samples + 1)
        posts = resample(posts, weights, config.resampling_padding, quantiles)
        weights, colors, middles = self.look(posts, origin, direction, radius)
        rgb = (weights[:, None] * colors.clip(0.0, 1.0)).sum(0)
        opacity, distance = math.fsum(weights), float(weights @ middles)
        if config.sky:
            basis = np.array(spherical_harmonics.values(direction))
            hidden = np.maximum(self.state["sky_net.layers.0.weight"] @ basis, 0.0)
            sky = 1.0 / (1.0 + np.exp(-self.state["sky_net.layers.2.weight"] @ hidden))
            rgb = rgb + (1.0 - opacity) * sky
            distance += (1.0 - opacity) * FAR
            opacity = 1.0
        return rgb, distance * self.half / max(opacity, 1e-6), opacity
