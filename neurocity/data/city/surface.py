"""The interface between ray casting and textures: what is known of a hit, and what a texture returns."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.data.city.noise import Floats


@dataclass(frozen=True, slots=True)
class Surface:
    """n hit points.

    position, normal: [n, 3] metres and unit shading normal towards the viewer. s, t: [n] surface coordinates
    in metres. length, top: [n] length of the patch along s and its largest t. filter_s, filter_t: [n] metres
    that a ray covers along s and t. patch: [n] patch number. style: [n] rows of STYLE_DTYPE.
    """

    position: Floats
    normal: Floats
    s: Floats
    t: Floats
    length: Floats
    top: Floats
    filter_s: Floats
    filter_t: Floats
    patch: npt.NDArray[np.int64]
    style: npt.NDArray[np.void]

    def __getitem__(self, chosen: npt.NDArray[np.int64]) -> "Surface":
        """The chosen points."""
        return Surface(*(getattr(self, name)[chosen] for name in self.__slots__))

    @property
    def filter_width(self) -> Floats:
        """[n] the wider of the two filter widths, for isotropic textures."""
        return np.maximum(self.filter_s, self.filter_t)


class Paint(NamedTuple):
    """albedo: [n, 3] reflectance. emission: [n, 3] own light. gloss: [n] mirror reflectance head-on."""

    albedo: Floats
    emission: Floats | float = 0.0
    gloss: Floats | float = 0.0
