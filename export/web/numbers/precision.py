"""Numbers as whole numbers of some bits, and back: a range for each kind, found in the scene itself.

Notation
    q  a whole number that stands for low + step q
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FAINTEST_ACROSS: Final = 0.01
"""Optical depth across the whole octree below which densities are not told apart."""


@dataclass(frozen=True)
class Scale:
    """low, step: float32, of one kind of number; arrays where each channel has its own."""

    low: np.ndarray
    step: np.ndarray

    def quantised(self, values: np.ndarray, least: int, most: int, dtype: npt.DTypeLike) -> np.ndarray:
        """The nearest q of each value from least to most; 0 where there is but one value."""
        step = self.step.astype(np.float64)
        away: np.ndarray = values - self.low.astype(np.float64)
        q = np.rint(np.divide(away, step, out=np.zeros_like(away), where=step > 0))
        return q.clip(least, most).astype(dtype)

    def restored(self, q: np.ndarray) -> np.ndarray:
        """What stands for the values, float32."""
        return self.low + self.step * q.astype(np.float32)


def density_range(raw: np.ndarray, depth_across: float) -> tuple[float, float]:
    """The least and the largest raw density that are told apart.

    raw: of the voxels' corners. depth_across: optical depth across the octree at activated density 1.
    """
    highest = float(raw.max())
    if not depth_across > 0:
        return highest, highest
    faintest = 1.1 * (math.log(FAINTEST_ACROSS / depth_across) + 0.904689820196)
    return min(max(float(raw.min()), faintest), highest), highest


def density_scale(low: float, high: float, bits: int) -> Scale:
    """2^bits values from low to high."""
    return Scale(np.array(low, np.float32), np.array((high - low) / (2**bits - 1), np.float32))


def constant_scale(constants: np.ndarray, bits: int) -> Scale:
    """2^bits values from the least to the largest of each channel; constants [C, 3]."""
    low, high = (end.astype(np.float64) for end in (constants.min(0), constants.max(0)))
    return Scale(low.astype(np.float32), ((high - low) / (2**bits - 1)).astype(np.float32))


def harmonics_scale(harmonics: np.ndarray, bits: int) -> Scale:
    """2^bits - 1 values, as far to both sides of 0 as each coefficient [B, 3] goes; harmonics [C, B, 3]."""
    most = np.abs(harmonics).max(0, initial=0.0).astype(np.float64)
    step = (most / (2 ** (bits - 1) - 1)).astype(np.float32)
    return Scale(np.zeros_like(step), step)
