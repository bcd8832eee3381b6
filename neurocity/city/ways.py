"""Where rays can go at all, so that what is out of sight is not even opened."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Rays

_SLACK: Final = 1e-5
"""Of a box's size: more than float32 is wrong by."""
_ROW: Final = 64


@dataclass(frozen=True)
class Ways:
    """Rays from origins between two corners [2, 3], along directions between two others."""

    origins: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rays: Rays) -> Self:
        """Of rays, one at least; those that are no numbers meet nothing."""
        return cls(_ends(rays.origins), _ends(rays.directions))

    def may_meet(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """[B] Whether some ray may have a part in boxes [B, 2, 3]; where that is false none has."""
        low, high = boxes[:, 0], boxes[:, 1]
        slack = _SLACK * (high - low)
        # At distance t rays are from origins[0] + t directions[0] to origins[1] + t directions[1] along each
        # axis, which has a part of the box where sides + t slopes >= 0 for both of its sides.
        sides = np.concatenate([high + slack - self.origins[0], self.origins[1] - low + slack], axis=1)
        slopes = np.concatenate([-self.directions[0], self.directions[1]])
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -sides / slopes
        first = t[:, slopes > 0.0].max(1, initial=0.0)
        last = t[:, slopes < 0.0].min(1, initial=np.inf)
        met: npt.NDArray[np.bool_] = (sides[:, slopes == 0.0] >= 0.0).all(1) & (first <= last)
        return met


def _ends(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The least and the greatest components [2, 3] of vectors [N, 3]."""
    # In rows of many, since numpy is slow where it goes in steps of three numbers.
    rows = len(vectors) // _ROW
    long, rest = vectors[: rows * _ROW].reshape(rows, 3 * _ROW), vectors[rows * _ROW :]
    ends = []
    for end in (np.fmin, np.fmax):
        folded = end.reduce(long).reshape(-1, 3) if rows else rest
        ends.append(end.reduce(np.concatenate([folded, rest])))
    return np.stack(ends).astype(np.float64)
