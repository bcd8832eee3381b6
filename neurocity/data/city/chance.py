"""Random numbers by purpose, so that a change in one part of a city leaves all others as they are."""

import numpy as np


def chance(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """A generator that is always the same for a seed, a purpose and, of several such things, the index."""
    return np.random.default_rng([seed, index, *purpose.encode()])
