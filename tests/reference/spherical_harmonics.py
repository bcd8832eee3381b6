"""Real spherical harmonics by associated Legendre functions and their recurrences."""

import math

import numpy as np

BANDS = 4


def legendre(degree: int, order: int, x: float) -> float:
    """Associated Legendre function P_l^m(x) with the Condon-Shortley phase, by its recurrences."""
    value = 1.0
    for k in range(1, order + 1):
        value *= -(2 * k - 1) * math.sqrt(1.0 - x * x)
    if degree == order:
        return value
    before, value = value, x * (2 * order + 1) * value
    for k in range(order + 2, degree + 1):
        before, value = value, ((2 * k - 1) * x * value - (k + order - 1) * before) / (k - order)
    return value


def values(direction: np.ndarray) -> list[float]:
    """Y_lm of a unit direction [3], for l = 0 ... 3 and m = -l ... l."""
    azimuth = math.atan2(direction[1], direction[0])
    result = []
    for degree in range(BANDS):
        for order in range(-degree, degree + 1):
            m = abs(order)
            ratio = math.factorial(degree - m) / math.factorial(degree + m)
            norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio)
            value = norm * legendre(degree, m, float(direction[2]))
            if order > 0:
                value *= math.sqrt(2.0) * math.cos(m * azimuth)
            elif order < 0:
                value *= math.sqrt(2.0) * math.sin(m * azimuth)
            result.append(value)
    return result
