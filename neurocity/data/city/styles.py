"""What surfaces are made of: materials with their parameters, one row of a table per distinct style."""

from dataclasses import asdict, astuple, dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Color = tuple[float, float, float]


class Material(IntEnum):
    """Which procedural texture paints a patch."""

    PLAIN = 0
    FACADE = 1
    CURTAIN_WALL = 2
    ROOF = 3
    TILES = 4
    GROUND = 5
    GRASS = 6
    FOLIAGE = 7
    WATER = 8
    AWNING = 9
    GLASS = 10
    PAVING = 11
    MASONRY = 12


class Masonry(IntEnum):
    """The texture of the solid part of a facade."""

    PLASTER = 0
    BRICK = 1
    CONCRETE = 2
    STONE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Parameters of a material. Colours are linear RGB reflectances; lengths are metres.

    bay, storey: width and height of a window cell. window: width and height of the opening as shares of the
    cell. sill: height of the opening above the floor as a share of the storey. shop_height: height of the
    ground floor with shops (0: none). cap: height of the blank strip under the roof.
    """

    material: Material = Material.PLAIN
    base: Color = (0.5, 0.5, 0.5)
    accent: Color = (0.5, 0.5, 0.5)
    masonry: Masonry = Masonry.PLASTER
    bay: float = 3.4
    storey: float = 3.3
    window: tuple[float, float] = (0.45, 0.55)
    sill: float = 0.28
    shop_height: float = 0.0
    cap: float = 0.6


STYLE_DTYPE = np.dtype(
    [
        (name, "i4" if isinstance(value, int) else "f4", np.shape(value))
        for name, value in asdict(Style()).items()
    ]
)
"""The fields of Style in the order of its definition, numbers as 32 bits."""


@dataclass(slots=True)
class StyleTable:
    """Numbers styles; equal styles share a row."""

    _rows: dict[Style, int] = field(default_factory=dict)

    def add(self, style: Style) -> int:
        """The row of this style."""
        return self._rows.setdefault(style, len(self._rows))

    def plain(self, color: Color) -> int:
        """The row of a plain matt colour."""
        return self.add(Style(base=color))

    def build(self) -> npt.NDArray[np.void]:
        """[rows] structured array of STYLE_DTYPE."""
        return np.array([astuple(style) for style in self._rows], dtype=STYLE_DTYPE)


def color(hexadecimal: str, shade: float = 1.0) -> Color:
    """The linear RGB of an sRGB colour written as `#rrggbb`, times `shade`."""
    encoded = np.array([int(hexadecimal[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4) * shade
    return float(linear[0]), float(linear[1]), float(linear[2])
