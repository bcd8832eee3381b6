"""Losses of SVRaster and its subdivision priority, one ray at a time, in double loops over plain numbers."""

from collections.abc import Sequence


def contracted(x: float) -> float:
    """Distances beyond 1 are drawn in below 2."""
    return x if x < 1.0 else 2.0 - 1.0 / x


def distortion(weights: Sequence[float], near: Sequence[float], far: Sequence[float]) -> float:
    """Barron et al. 2022, equation 15, on contracted distances."""
    begin, end = [contracted(x) for x in near], [contracted(x) for x in far]
    total = 0.0
    for i in range(len(weights)):
        for j in range(len(weights)):
            apart = abs((begin[i] + end[i]) / 2.0 - (begin[j] + end[j]) / 2.0)
            total += weights[i] * weights[j] * apart
        total += weights[i] ** 2 * (end[i] - begin[i]) / 3.0
    return total


def concentration(
    weights: Sequence[float], colors: Sequence[Sequence[float]], photograph: Sequence[float]
) -> float:
    """Weighted squared distances of colours from the photograph's."""
    return sum(
        weight * sum((c - p) ** 2 for c, p in zip(color, photograph, strict=True))
        for weight, color in zip(weights, colors, strict=True)
    )


def total_variation(density: Sequence[float], voxel_points: Sequence[Sequence[int]]) -> float:
    """Absolute differences between corners that differ along one axis."""
    return sum(
        abs(density[points[a]] - density[points[b]])
        for points in voxel_points
        for a in range(8)
        for b in range(a)
        if (a ^ b) in (1, 2, 4)
    )


def priorities(weights: Sequence[float], gradients: Sequence[float]) -> list[float]:
    """|dL/dalpha alpha| of a ray's intervals, by moving each alpha; L = sum of gradient times weight."""
    alphas, left = [], 1.0
    for weight in weights:
        alphas.append(weight / left)
        left -= weight

    def loss(values: Sequence[float]) -> float:
        total, passing = 0.0, 1.0
        for alpha, gradient in zip(values, gradients, strict=True):
            total += gradient * passing * alpha
            passing *= 1.0 - alpha
        return total

    step = 1e-6
    moved = [
        [alpha + sign * step * (i == j) for j, alpha in enumerate(alphas)]
        for i in range(len(alphas))
        for sign in (1.0, -1.0)
    ]
    slopes = [(loss(moved[2 * i]) - loss(moved[2 * i + 1])) / (2.0 * step) for i in range(len(alphas))]
    return [abs(slope * alpha) for slope, alpha in zip(slopes, alphas, strict=True)]
