"""Instant-NGP rendered one ray at a time in double precision, put together from the other oracles."""

import math

import numpy as np

from neurocity.instant_ngp.core import InstantNGP
from neurocity.rendering.marching import FAR

from . import compositing, hash_grid, marching, spherical_harmonics


def mlp(weights: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Matrices [out, in] with a ReLU between each two of them."""
    for index, weight in enumerate(weights):
        values = weight @ (np.maximum(values, 0.0) if index else values)
    return values


def render_ray(
    model: InstantNGP, origin: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """rgb [3], depth and opacity of one ray, as `neurocity.contract` defines them."""
    config = model.config
    state = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}
    networks = {
        net: [state[name] for name in state if name.startswith(net)]
        for net in ("density_net", "color_net", "sky_net")
    }
    table = state["encoding.table"]
    scales = hash_grid.level_scales(config.num_levels, config.base_resolution, config.finest_resolution)
    dense = [level < model.encoding.dense_levels for level in range(config.num_levels)]
    lattice = marching.Lattice(
        bounds=config.scene_bounds,
        unbounded=config.unbounded,
        steps=config.march_steps,
        growth=config.step_growth,
        near=config.near,
        far=FAR,
    )
    grid = config.occupancy_resolution
    occupied = (state["occupancy.jump"] < 0.0).reshape(grid, grid, grid).transpose(2, 1, 0)
    samples = list(marching.walk(origin, direction, occupied, lattice, jitter=0.5).may.values())
    basis = np.array(spherical_harmonics.values(direction))

    tau, colors = [], []
    for sample in samples:
        features = hash_grid.encode(sample.position[:, None], table, scales, dense, config.hash_kind)[0]
        geometry = mlp(networks["density_net"], features)
        density = config.initial_density / lattice.side * math.exp(min(max(geometry[0], -15.0), 15.0))
        tau.append(density * sample.width)
        colors.append(sigmoid(mlp(networks["color_net"], np.concatenate([geometry, basis]))))
    weights = compositing.weights(tau, [0, len(tau)])
    opacity = math.fsum(weights)
    light = sum((w * color for w, color in zip(weights, colors, strict=True)), np.zeros(3))
    distance = math.fsum(w * sample.t for w, sample in zip(weights, samples, strict=True))
    if config.sky:
        light = light + (1.0 - opacity) * sigmoid(mlp(networks["sky_net"], basis))
        distance += (1.0 - opacity) * FAR * lattice.side / 2
        opacity = 1.0
    return light, distance / max(opacity, 1e-6), opacity


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-values)))
