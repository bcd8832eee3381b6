"""Grid-NeRF one point and one ray at a time in double precision, put together from the other oracles."""

import math

import numpy as np

from neurocity.grid_nerf.core import GridNeRF
from neurocity.rendering.marching import FAR

from . import compositing, marching, spherical_harmonics
from .instant_ngp import mlp, sigmoid

Mode = tuple[int, int, int]


def tables_of(
    planes: np.ndarray,
    lines: np.ndarray,
    *,
    vertices: tuple[int, int, int],
    final: tuple[int, int, int],
    modes: list[Mode],
    divisors: tuple[int, ...],
) -> list[tuple[Mode, np.ndarray, np.ndarray]]:
    """Mode, plane [n_u, n_v, C] and line [n_w, C] of every part, from the tables that hold them."""
    parts = []
    plane_row = line_row = 0
    for divisor in divisors:
        for mode in modes:
            u, v, w = (max(2, round(vertices[axis] / divisor)) for axis in mode)
            room_u, room_v, room_w = (max(2, round(final[axis] / divisor)) for axis in mode)
            plane = np.array(
                [[planes[plane_row + j * u + i] for j in range(v)] for i in range(u)], np.float64
            )
            line = np.array([lines[line_row + k] for k in range(w)], np.float64)
            parts.append((mode, plane, line))
            plane_row += room_u * room_v
            line_row += room_w
    return parts


def corners(coordinate: float, count: int) -> list[tuple[int, float]]:
    """The two vertices among `count` in [0, 1] that a coordinate lies between, with their linear weights."""
    position = coordinate * (count - 1)
    lower = min(math.floor(position), count - 2)
    return [(lower, 1.0 - (position - lower)), (lower + 1, position - lower)]


def part_feature(point: np.ndarray, part: tuple[Mode, np.ndarray, np.ndarray]) -> np.ndarray:
    """M(u, v) v(w) of every component at a point [3] in [0, 1]: [C]."""
    (u, v, w), plane, line = part
    on_plane, on_line = np.zeros(plane.shape[2]), np.zeros(plane.shape[2])
    for i, weight_i in corners(point[u], plane.shape[0]):
        for j, weight_j in corners(point[v], plane.shape[1]):
            on_plane += weight_i * weight_j * plane[i, j]
    for k, weight_k in corners(point[w], len(line)):
        on_line += weight_k * line[k]
    return on_plane * on_line


def features(points: np.ndarray, parts: list[tuple[Mode, np.ndarray, np.ndarray]]) -> np.ndarray:
    """points [3, N] in [0, 1] -> features [N, P C]."""
    return np.array(
        [
            np.concatenate([part_feature(point, part) for part in parts])
            for point in points.T.astype(np.float64)
        ]
    )


def positional_encoding(point: np.ndarray, frequencies: int) -> np.ndarray:
    """sin and cos of 2^k pi x for every axis and k, with x in [-1, 1]; Mildenhall et al. 2020, eq. 4."""
    angles = [2.0**k * math.pi * (2.0 * x - 1.0) for x in point for k in range(frequencies)]
    return np.array([*map(math.sin, angles), *map(math.cos, angles)])


def render_ray(model: GridNeRF, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """rgb [3], depth and opacity of one ray by the branch that the model renders."""
    config = model.config
    state = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}

    def network(name: str, values: np.ndarray) -> np.ndarray:
        return mlp([state[key] for key in state if key.startswith(f"{name}.layers")], values)

    low, high = np.array(config.scene_bounds[:3]), np.array(config.scene_bounds[3:])
    extents = np.ones(3) if config.unbounded else (high - low) / (high - low).max()
    voxel = extents.prod() ** (1 / 3)
    vertices, final = (
        tuple(max(2, round(extent / voxel * resolution)) for extent in extents)
        for resolution in (config.initial_resolution, config.final_resolution)
    )
    vertical = "xyz".index(config.up_axis)
    ground = [axis for axis in range(3) if axis != vertical]
    modes = [(0, 1, 2), (0, 2, 1), (1, 2, 0)] if config.mode == "objects" else [(*ground, vertical)]
    density_parts, appearance_parts = (
        tables_of(
            state[f"{name}_features.planes"],
            state[f"{name}_features.lines"],
            vertices=vertices,
            final=final,
            modes=modes,
            divisors=config.resolution_divisors,
        )
        for name in ("density", "appearance")
    )
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
    scale = config.initial_density / lattice.side

    points = [np.clip(sample.position / extents, 0.0, 1.0) for sample in samples]
    density_features = [features(point[:, None], density_parts)[0] for point in points]
    appearances = [features(point[:, None], appearance_parts)[0] for point in points]
    tau = [
        scale * math.exp(np.clip(network("density_net", inputs)[0], -15.0, 15.0)) * sample.width
        for inputs, sample in zip(density_features, samples, strict=True)
    ]
    weights = compositing.weights(tau, [0, len(tau)])
    colors = [sigmoid(network("color_net", np.concatenate([a, basis]))) for a in appearances]
    if config.render_branch == "nerf":
        guide, grid_tau, tau, colors = weights, tau, [], []
        for index in range(len(samples)):
            encoded = positional_encoding(points[index], config.nerf_frequencies)
            outputs = network("nerf.trunk", np.concatenate([encoded, density_features[index]]))
            hidden = np.maximum(outputs[1:], 0.0)
            fade = min(max(guide[index] / config.guide_weight - 1.0, 0.0), 1.0)
            tau.append(grid_tau[index] * math.exp(np.clip(outputs[0], -15.0, 15.0)) * fade)
            colors.append(
                sigmoid(network("nerf.color_net", np.concatenate([hidden, appearances[index], basis])))
            )
        weights = compositing.weights(tau, [0, len(tau)])
    opacity = math.fsum(weights)
    light = sum((w * color for w, color in zip(weights, colors, strict=True)), np.zeros(3))
    distance = math.fsum(w * sample.t for w, sample in zip(weights, samples, strict=True))
    if config.sky:
        light = light + (1.0 - opacity) * sigmoid(network("sky_net", basis))
        distance += (1.0 - opacity) * FAR * lattice.side / 2
        opacity = 1.0
    return light, distance / max(opacity, 1e-6), opacity
