"""Round 3D Gaussians (Kerbl et al. 2023), as the file holds them; numpy alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

FAINTEST: Final = 1.0 / 255.0
"""Alpha below which splat viewers draw nothing."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """G Gaussians, float32; world units, in the scene's coordinates.

    centers [G, 3]. deviations [G]: standard deviation, the same along all axes. opacities [G]: in (0, 1), the
    alpha of a ray through the middle. colours [G, B + 1, 3]: coefficients of the constant and of B further
    spherical harmonics, as `neurocity.rendering.spherical_harmonics` orders and signs them.
    """

    centers: Float32
    deviations: Float32
    opacities: Float32
    colours: Float32

    def __len__(self) -> int:
        return len(self.centers)
