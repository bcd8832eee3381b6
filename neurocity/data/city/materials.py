"""Which texture paints which material."""

from collections.abc import Callable

import numpy as np

from neurocity.data.city.facade import masonry, paint_curtain_wall, paint_facade
from neurocity.data.city.ground import GroundPainter, paint_grass, paving
from neurocity.data.city.layout import Layout
from neurocity.data.city.noise import cell, fade, hash_unit, mix, pulse, value_noise
from neurocity.data.city.sky import Sky
from neurocity.data.city.styles import Material
from neurocity.data.city.surface import Paint, Surface


class Materials:
    """The textures of a city."""

    def __init__(self, layout: Layout, sky: Sky) -> None:
        self.ground = GroundPainter(layout, sky)
        self._painters: dict[Material, Callable[[Surface], Paint]] = {
            Material.PLAIN: lambda surface: Paint(surface.style["base"]),
            Material.FACADE: paint_facade,
            Material.CURTAIN_WALL: paint_curtain_wall,
            Material.ROOF: _paint_roof,
            Material.TILES: _paint_tiles,
            Material.GROUND: self.ground,
            Material.GRASS: paint_grass,
            Material.FOLIAGE: _paint_foliage,
            Material.WATER: _paint_water,
            Material.AWNING: _paint_awning,
            Material.GLASS: lambda surface: Paint(surface.style["base"], gloss=0.08),
            Material.PAVING: lambda surface: Paint(paving(surface)),
            Material.MASONRY: lambda surface: Paint(masonry(surface)),
        }

    def paint(self, surface: Surface) -> Paint:
        """Albedo, own light and gloss of every point, each by the texture of its material."""
        count = len(surface.patch)
        albedo = np.zeros((count, 3), dtype=np.float32)
        emission = np.zeros((count, 3), dtype=np.float32)
        gloss = np.zeros(count, dtype=np.float32)
        for material in np.unique(surface.style["material"]):
            chosen = np.flatnonzero(surface.style["material"] == material)
            part = self._painters[Material(material)](surface[chosen])
            albedo[chosen], emission[chosen], gloss[chosen] = part
        return Paint(albedo, emission, gloss)


def _paint_roof(surface: Surface) -> Paint:
    """Bitumen or gravel in sheets, with puddle stains."""
    stain = value_noise(surface.s * 0.25 + surface.patch % 71, surface.t * 0.25, salt=59) - 0.5
    fine = (value_noise(surface.s * 1.6, surface.t * 1.6, salt=61) - 0.5) * fade(surface.filter_width, 0.6)
    seam = pulse(surface.s, (0.0, 0.08), surface.filter_s, period=2.0)
    return Paint(surface.style["base"] * (1 + 0.4 * stain + 0.2 * fine - 0.15 * seam)[:, None])


def _paint_tiles(surface: Surface) -> Paint:
    """Rows of roof tiles."""
    row = cell(surface.t / 0.33)
    tone = hash_unit(cell(surface.s / 0.25), row) - 0.5
    tone = tone * fade(surface.filter_width, 0.25)
    edge = pulse(surface.t, (0.0, 0.07), surface.filter_t, period=0.33)
    stain = value_noise(surface.s * 0.4, surface.t * 0.4, salt=67) - 0.5
    return Paint(surface.style["base"] * (1 + 0.35 * tone - 0.3 * edge + 0.3 * stain)[:, None])


def _paint_foliage(surface: Surface) -> Paint:
    """Leaves: clumps of light and dark green."""
    x, y, z = surface.position.T
    clumps = value_noise(x * 1.1, y * 1.1, z * 1.1, salt=71)
    twigs = (value_noise(x * 3, y * 3, z * 3, salt=73) - 0.5) * fade(surface.filter_width, 0.45)
    leaves = (value_noise(x * 9, y * 9, z * 9, salt=83) - 0.5) * fade(surface.filter_width, 0.15)
    tone = mix(surface.style["base"], surface.style["accent"], np.clip(1.6 * clumps - 0.3, 0, 1))
    return Paint(tone * (1 + 0.8 * twigs + 0.9 * leaves)[:, None])


def _paint_water(surface: Surface) -> Paint:
    x, y = surface.position[:, 0], surface.position[:, 1]
    ripple = value_noise(x * 0.9, y * 0.9, salt=79)
    return Paint(surface.style["base"] * (0.8 + 0.4 * ripple)[:, None], gloss=0.06)


def _paint_awning(surface: Surface) -> Paint:
    band = pulse(surface.s, (0.0, 0.45), surface.filter_s, period=0.9)
    return Paint(mix(surface.style["base"], surface.style["accent"], band))
