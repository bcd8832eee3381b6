"""How kernels share out points: as cpp/point_blocks.hpp does."""

from typing import Final

import numpy as np
import numpy.typing as npt

PART_POINTS: Final = 4096
"""Points of a part."""


def point_parts(points: npt.NDArray[np.float32]) -> int:
    """The number of parts of points [3, N]."""
    return -(-points.shape[1] // PART_POINTS)
