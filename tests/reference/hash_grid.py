"""Multiresolution hash encoding as three nested loops in double precision, with unbounded integers."""

import math

import numpy as np

FACTORS = {
    "base_convert": (2531011**3, 2531011**2, 2531011),
    "xor": (1, 2654435761, 805459861),
}


def level_scales(levels: int, coarsest: int, finest: int) -> list[float]:
    """N_min b^l - 1 with b = exp((ln N_max - ln N_min) / (L - 1)); Müller et al. 2022, eq. 2 and 3."""
    growth = math.exp((math.log(finest) - math.log(coarsest)) / (levels - 1)) if levels > 1 else 1.0
    return [coarsest * growth**level - 1.0 for level in range(levels)]


def row(vertex: tuple[int, int, int], *, resolution: int, rows: int, dense: bool, hash_kind: str) -> int:
    """Row of a vertex in its level's table."""
    if dense:
        return vertex[0] + resolution * (vertex[1] + resolution * vertex[2])
    terms = [coordinate * factor for coordinate, factor in zip(vertex, FACTORS[hash_kind], strict=True)]
    if hash_kind == "xor":
        return (terms[0] ^ terms[1] ^ terms[2]) % rows
    return sum(terms) % rows


def corners(
    point: np.ndarray, scale: float, *, rows: int, dense: bool, hash_kind: str
) -> list[tuple[int, float]]:
    """Row and trilinear weight of each of the eight vertices around a point [3] in [0, 1]."""
    resolution = math.ceil(scale) + 1
    position = point.astype(np.float64) * scale + 0.5
    base = np.floor(position)
    result = []
    for z in (0, 1):
        for y in (0, 1):
            for x in (0, 1):
                weight = 1.0
                for axis, bit in enumerate((x, y, z)):
                    fraction = position[axis] - base[axis]
                    weight *= fraction if bit else 1.0 - fraction
                vertex = (int(base[0]) + x, int(base[1]) + y, int(base[2]) + z)
                index = row(vertex, resolution=resolution, rows=rows, dense=dense, hash_kind=hash_kind)
                result.append((index, weight))
    return result


def encode(
    points: np.ndarray, table: np.ndarray, scales: list[float], dense: list[bool], hash_kind: str
) -> np.ndarray:
    """points [3, N] in [0, 1], table [L, T, F] -> features [N, L F], float64."""
    levels, rows, features = table.shape
    out = np.zeros((points.shape[1], levels * features))
    for n in range(points.shape[1]):
        for level in range(levels):
            for index, weight in corners(
                points[:, n], scales[level], rows=rows, dense=dense[level], hash_kind=hash_kind
            ):
                for feature in range(features):
                    out[n, level * features + feature] += weight * float(table[level, index, feature])
    return out


def encode_gradient(
    points: np.ndarray,
    grad_out: np.ndarray,
    shape: tuple[int, int, int],
    scales: list[float],
    dense: list[bool],
    hash_kind: str,
) -> np.ndarray:
    """Gradient [L, T, F] in the table of sum(grad_out * encode(points, table)), float64."""
    levels, rows, features = shape
    grad = np.zeros(shape)
    for n in range(points.shape[1]):
        for level in range(levels):
            for index, weight in corners(
                points[:, n], scales[level], rows=rows, dense=dense[level], hash_kind=hash_kind
            ):
                for feature in range(features):
                    grad[level, index, feature] += weight * float(grad_out[n, level * features + feature])
    return grad
