"""Everything at z = 0: streets with markings, sidewalks, lawns, and the countryside that ends in haze."""

import math

import numpy as np

from neurocity.data.city.layout import CAR_SPACING, STREET_WIDTH, Layout
from neurocity.data.city.noise import Floats, cell, fade, hash_unit, mix, pulse, stripe, value_noise
from neurocity.data.city.sky import Sky
from neurocity.data.city.styles import color
from neurocity.data.city.surface import Paint, Surface

ASPHALT = np.array(color("#5e5e60"), dtype=np.float32)
WHITE_PAINT = np.array(color("#dcdcd6"), dtype=np.float32)
YELLOW_PAINT = np.array(color("#d9a83a"), dtype=np.float32)
PAVING = np.array(color("#a9a39a"), dtype=np.float32)
CURB = np.array(color("#bdb9b1"), dtype=np.float32)
GRASS = np.array(color("#66794a"), dtype=np.float32)
MEADOW = np.array(color("#90905f"), dtype=np.float32)
WOOD = np.array(color("#47593a"), dtype=np.float32)
PARKING_LINE = STREET_WIDTH / 2 - 2.2
STOP_LINE = STREET_WIDTH / 2 + 4.6
CROSSWALK = (STREET_WIDTH / 2 + 1.0, STREET_WIDTH / 2 + 3.8)
TERRAIN_RADIUS = 12.0
"""Ground further out than this many city half-diagonals has the colour of the horizon."""


class GroundPainter:
    """Paints the ground by its position in the plan."""

    def __init__(self, layout: Layout, sky: Sky) -> None:
        self._layout = layout
        self._sky = sky
        self._bounds = layout.bounds
        self._half_diagonal = 0.5 * math.hypot(*self._bounds.size)

    @property
    def terrain_radius(self) -> float:
        """Distance from the centre in metres at which the ground has faded into the horizon."""
        return TERRAIN_RADIUS * self._half_diagonal

    def __call__(self, surface: Surface) -> Paint:
        """Streets inside the city and two roads out of it, sidewalks around, then fields, then haze."""
        x, y = surface.position[:, 0], surface.position[:, 1]
        width = surface.filter_width
        paved = self._bounds
        inside = stripe(x, (paved.x0, paved.x1), width) * stripe(y, (paved.y0, paved.y1), width)
        plan = self._layout
        dx = x - _nearest(x, plan.street_x)
        dy = y - _nearest(y, plan.street_y)
        half = STREET_WIDTH / 2
        # Streets end at the outermost crossings, except for one each way.
        reach_x = np.maximum(stripe(y, _extent(plan.street_y), width), _near(x, plan.through[0]))
        reach_y = np.maximum(stripe(x, _extent(plan.street_x), width), _near(y, plan.through[1]))
        on_x = stripe(dx, (-half, half), width) * reach_x
        on_y = stripe(dy, (-half, half), width) * reach_y
        albedo = mix(self._countryside(surface), paving(surface), inside)
        gap = np.minimum(np.abs(dx), np.abs(dy))
        albedo = mix(albedo, CURB, stripe(gap, (half, half + 0.3), width) * inside)
        asphalt = self._asphalt(surface)
        albedo = mix(albedo, asphalt, np.maximum(on_x, on_y))
        marked_x = on_x * (1 - on_y) * _away(dy, reach_y)
        marked_y = on_y * (1 - on_x) * _away(dx, reach_x)
        white_x, yellow_x = _markings(dx, dy, y, width=width, inside=inside)
        white_y, yellow_y = _markings(dy, dx, x, width=width, inside=inside)
        worn = 0.65 + 0.3 * value_noise(x * 0.8, y * 0.8, salt=23)
        albedo = mix(albedo, YELLOW_PAINT, np.maximum(yellow_x * marked_x, yellow_y * marked_y) * worn)
        albedo = mix(albedo, WHITE_PAINT, np.maximum(white_x * marked_x, white_y * marked_y) * worn)
        near = 1.2 * self._half_diagonal
        haze = np.sqrt(np.clip((np.hypot(x, y) - near) / (self.terrain_radius - near), 0, 1))
        haze = haze * haze * (3 - 2 * haze)
        glow = self._sky.horizon(surface.position)
        return Paint(albedo * (1 - haze)[:, None], glow * haze[:, None])

    def _asphalt(self, surface: Surface) -> Floats:
        x, y = surface.position[:, 0], surface.position[:, 1]
        broad = value_noise(x * 0.13, y * 0.13, salt=17) - 0.5
        patches = (hash_unit(cell(x * 0.21), cell(y * 0.21)) > 0.88) * fade(surface.filter_width, 3.0)
        grain = (value_noise(x * 7, y * 7, salt=19) - 0.5) * fade(surface.filter_width, 0.2)
        return ASPHALT * (1 + 0.3 * broad - 0.16 * patches + 0.2 * grain)[:, None]

    def _countryside(self, surface: Surface) -> Floats:
        """Meadows, fields and woods with soft borders."""
        x, y = surface.position[:, 0], surface.position[:, 1]
        scale = np.float32(1 / 70)
        wobble = 0.35 * value_noise(x * scale * 2, y * scale * 2, salt=29)
        fields = hash_unit(cell(x * scale + wobble), cell(y * scale * 1.3 - wobble))
        tone = mix(np.broadcast_to(GRASS, (len(x), 3)), MEADOW, fields)
        woods = value_noise(x * scale * 1.7, y * scale * 1.7, salt=31)
        tone = mix(tone, WOOD, 0.8 * np.clip((woods - 0.55) * 6, 0, 1))
        clumps = (value_noise(x * 0.25, y * 0.25, salt=37) - 0.5) * fade(surface.filter_width, 4.0)
        return tone * (1 + 0.35 * clumps)[:, None]


def paving(surface: Surface) -> Floats:
    """[n, 3] concrete slabs of 1.5 m."""
    x, y = surface.position[:, 0], surface.position[:, 1]
    joint = np.maximum(
        pulse(x, (0.0, 0.05), surface.filter_width, period=1.5),
        pulse(y, (0.0, 0.05), surface.filter_width, period=1.5),
    )
    tone = (hash_unit(cell(x / 1.5), cell(y / 1.5)) - 0.5) * fade(surface.filter_width, 1.2)
    stain = value_noise(x * 0.3, y * 0.3, salt=41) - 0.5
    return PAVING * (1 + 0.14 * tone + 0.14 * stain - 0.3 * joint)[:, None]


def paint_grass(surface: Surface) -> Paint:
    """A lawn: mottled green with finer tufts close by."""
    x, y = surface.position[:, 0], surface.position[:, 1]
    broad = value_noise(x * 0.15, y * 0.15, salt=43)
    medium = value_noise(x * 0.7, y * 0.7, salt=47) - 0.5
    tufts = (value_noise(x * 5, y * 5, salt=53) - 0.5) * fade(surface.filter_width, 0.3)
    tone = mix(surface.style["base"], surface.style["accent"], np.clip(broad * 1.4 - 0.2, 0, 1))
    return Paint(tone * (1 + 0.25 * medium + 0.4 * tufts)[:, None])


def _nearest(x: Floats, lines: tuple[float, ...]) -> Floats:
    """The line nearest to every x."""
    borders = (np.array(lines[1:]) + np.array(lines[:-1])) / 2
    return np.array(lines, dtype=np.float32)[np.searchsorted(borders, x)]


def _extent(lines: tuple[float, ...]) -> tuple[float, float]:
    return lines[0] - STREET_WIDTH / 2, lines[-1] + STREET_WIDTH / 2


def _near(x: Floats, line: float) -> Floats:
    """1 within the street around `line`, else 0."""
    return (np.abs(x - np.float32(line)) < STREET_WIDTH).astype(np.float32)


def _away(d: Floats, reach: Floats) -> Floats:
    """1 except on a crossing that really has a crossing street (d: distance to its centre line)."""
    return 1 - (np.abs(d) < STREET_WIDTH / 2) * reach


def _markings(
    across: Floats, cross: Floats, along: Floats, *, width: Floats, inside: Floats
) -> tuple[Floats, Floats]:
    """White and yellow paint of a street.

    across: signed distance from its centre line. cross: from the nearest crossing street's centre line.
    along: position along the street.
    """
    gap = np.abs(cross)
    free = stripe(gap, (STOP_LINE, 1e6), width)
    centre = np.abs(np.abs(across) - 0.14)
    yellow = stripe(centre, (-1.0, 0.07), width) * free
    parking = stripe(np.abs(np.abs(across) - PARKING_LINE), (-1.0, 0.06), width) * free
    bays = pulse(along, (0.0, 0.12), width, period=CAR_SPACING)
    bays = bays * stripe(np.abs(across), (PARKING_LINE, STREET_WIDTH / 2), width)
    zebra = stripe(gap, CROSSWALK, width) * pulse(across + STREET_WIDTH / 2, (0.35, 0.95), width, period=1.2)
    stop = stripe(gap, (STOP_LINE - 0.45, STOP_LINE), width) * (across * cross > 0)
    white = np.maximum.reduce([parking, bays * free, zebra, stop]) * inside
    return white, yellow
