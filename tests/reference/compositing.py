"""Volume rendering as two nested loops in double precision (Max 1995)."""

import math
from itertools import pairwise


def weights(tau: list[float], offsets: list[int]) -> list[float]:
    """Weights of packed samples with optical depths `tau`: the light that reaches a sample and ends there."""
    result = []
    for begin, end in pairwise(offsets):
        transmittance = 1.0
        for sample in range(begin, end):
            result.append(transmittance * (1.0 - math.exp(-tau[sample])))
            transmittance *= math.exp(-tau[sample])
    return result


def sums(values: list[float], offsets: list[int]) -> list[float]:
    """Sum of packed values over each ray."""
    return [math.fsum(values[begin:end]) for begin, end in pairwise(offsets)]
