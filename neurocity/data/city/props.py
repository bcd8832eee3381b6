"""Trees, parked cars, street lamps, and the park."""

import math
from itertools import pairwise

import numpy as np

from neurocity.data.city.construction import Construction
from neurocity.data.city.layout import (
    CAR_SPACING,
    CURB_HEIGHT,
    SIDEWALK_WIDTH,
    STREET_WIDTH,
    Block,
    Layout,
    Rect,
    Side,
)
from neurocity.data.city.styles import Material, Style, color

LEAVES = (("#41602f", "#6c8647"), ("#385434", "#5d7a4c"), ("#566632", "#848c4c"), ("#34513a", "#527352"))
CAR_PAINTS = ("#c8c9c9", "#23262b", "#7d8288", "#8c1f1f", "#24406e", "#e8e6e0", "#3c5a44", "#b98a2e")
CROSSING_CLEARANCE = 7.5
LAMP_SPACING = 17.0
LUMPS = 5
LAWN = Style(material=Material.GRASS, base=color("#566f41"), accent=color("#76885a"))
WHEELS = [(0.33 * math.cos(a), 0.33 + 0.33 * math.sin(a)) for a in np.arange(8) * math.pi / 4]


def plant_tree(work: Construction, at: tuple[float, float, float]) -> None:
    """A broad-leaved tree of 5 to 8 m: a trunk and a crown of rounded lumps."""
    x, y, z = at
    size = work.uniform(0.8, 1.25)
    dark, light = LEAVES[work.rng.integers(len(LEAVES))]
    leaves = work.styles.add(Style(material=Material.FOLIAGE, base=color(dark), accent=color(light)))
    bark = work.styles.plain(color("#5d4a3a"))
    work.mesh.cylinder((x, y, z), 0.17 * size, 2.6 * size, sides=5, style=bark)
    work.mesh.blob((x, y, z + 3.9 * size), (1.5 * size, 1.5 * size, 1.5 * size), work.rng, style=leaves)
    turns = work.uniform(0, 2 * math.pi) + np.arange(LUMPS) * 2 * math.pi / LUMPS
    for turn in turns:
        reach = work.uniform(0.7, 1.15) * size
        center = (x + reach * math.cos(turn), y + reach * math.sin(turn), z + work.uniform(3.1, 4.8) * size)
        radius = work.uniform(0.85, 1.25) * size
        work.mesh.blob(center, (radius, radius, 0.9 * radius), work.rng, style=leaves)


def line_sidewalks(work: Construction, block: Block) -> None:
    """Street trees and lamps in turns along the curb of a block."""
    line = block.rect.inset(0.9)
    for side in Side:
        edge, length = line.edge(side), line.size[side.axis]
        count = int((length - 8) // (LAMP_SPACING / 2))
        for index in range(count + 1):
            along = 4.0 + (length - 8) * index / max(1, count)
            x, y = edge.start[0] + along * edge.along[0], edge.start[1] + along * edge.along[1]
            if index % 2 == 0:
                _lamp(work, (x, y, CURB_HEIGHT), towards=edge.out)
            elif work.rng.random() < 0.8:
                plant_tree(work, (x, y, CURB_HEIGHT))


def _lamp(work: Construction, at: tuple[float, float, float], *, towards: tuple[float, float]) -> None:
    """A lamp post with an arm over the street."""
    x, y, z = at
    metal = work.styles.plain(color("#3b4043"))
    glass = work.styles.plain(color("#e9e4d2"))
    work.mesh.cylinder((x, y, z), 0.09, 5.6, sides=5, style=metal)
    tip = x + 1.6 * towards[0], y + 1.6 * towards[1]
    arm = Rect(min(x, tip[0]) - 0.06, min(y, tip[1]) - 0.06, max(x, tip[0]) + 0.06, max(y, tip[1]) + 0.06)
    work.mesh.slab(arm, z + 5.6, z + 5.72, style=metal)
    head = Rect(tip[0] - 0.3, tip[1] - 0.3, tip[0] + 0.3, tip[1] + 0.3)
    work.mesh.slab(head, z + 5.5, z + 5.7, style=glass)


def park_cars(work: Construction, layout: Layout) -> None:
    """Cars in about half of the parking bays on both sides of every street, clear of the crossings."""
    lane = STREET_WIDTH / 2 - 1.15
    for lines, crossings, along_y in (
        (layout.street_x, layout.street_y, True),
        (layout.street_y, layout.street_x, False),
    ):
        for line in lines:
            for start, end in pairwise(crossings):
                first, last = start + CROSSING_CLEARANCE + 6.5, end - CROSSING_CLEARANCE - 6.5
                bays = np.arange(math.ceil(first / CAR_SPACING), math.floor(last / CAR_SPACING)) + 0.5
                for side in (-1.0, 1.0):
                    for bay in bays[work.rng.random(len(bays)) < 0.55]:
                        across = line + side * lane + work.uniform(-0.12, 0.12)
                        along = float(bay) * CAR_SPACING + work.uniform(-0.3, 0.3)
                        heading = (0.0, side) if along_y else (-side, 0.0)
                        at = (across, along) if along_y else (along, across)
                        _car(work, at, heading=heading)


def _car(work: Construction, at: tuple[float, float], *, heading: tuple[float, float]) -> None:
    """A saloon or a van: under-body, body and glass cabin, as profiles swept across the car's width."""
    van = work.rng.random() < 0.2
    paint = work.styles.plain(work.pick(CAR_PAINTS))
    dark = work.styles.plain(color("#1c1d1f"))
    glass = work.styles.add(Style(material=Material.GLASS, base=color("#2b343c")))

    def sweep(profile: list[tuple[float, float]], width: float, edges: list[int]) -> None:
        """`profile` runs from the rear (negative) to the front; `along` points to the car's left."""
        along = (-heading[1] * width, heading[0] * width, 0.0)
        work.mesh.extrusion(
            profile, (at[0] - along[0] / 2, at[1] - along[1] / 2, 0.0), along=along, styles=edges
        )

    sweep([(-1.9, 0.2), (1.9, 0.2), (1.9, 0.42), (-1.9, 0.42)], 1.6, [dark] * 5)
    for axle in (-1.35, 1.35):
        sweep([(axle + d, h) for d, h in WHEELS], 1.82, [dark] * 9)
    if van:
        sweep([(-2.3, 0.38), (2.3, 0.38), (2.25, 1.1), (1.5, 2.0), (-2.3, 2.0)], 1.85, [paint] * 6)
        windscreen = [(1.2, 1.2), (2.2, 1.2), (1.55, 1.95), (1.2, 1.95)]
        sweep(windscreen, 1.87, [glass] * 5)
        return
    sweep([(-2.15, 0.36), (2.15, 0.36), (2.1, 0.78), (1.0, 0.92), (-2.1, 0.95)], 1.78, [paint] * 6)
    cabin = [(-1.75, 0.9), (1.0, 0.88), (0.35, 1.42), (-1.2, 1.42)]
    sweep(cabin, 1.56, [glass, glass, paint, glass, glass])


def build_park(work: Construction, block: Block) -> None:
    """Four lawns between crossing paths, a round fountain in the middle, trees and hedges."""
    grass = work.styles.add(LAWN)
    hedge = work.styles.add(Style(material=Material.FOLIAGE, base=color("#35592f"), accent=color("#5f8547")))
    stone = work.styles.plain(color("#b9b1a2"))
    water = work.styles.add(Style(material=Material.WATER, base=color("#4d7f93")))
    land = block.rect.inset(SIDEWALK_WIDTH + 0.4)
    cx, cy = block.rect.center
    path, plaza = 1.8, 7.0
    for side_x, x in (Side.WEST, -1), (Side.EAST, 1):
        for side_y, y in (Side.SOUTH, -1), (Side.NORTH, 1):
            # The lawn is an L around the plaza: its part beside the plaza, and its part above or below.
            quarter = land.moved(side_x.opposite, cx + x * path).moved(side_y.opposite, cy + y * path)
            beside = quarter.moved(side_x.opposite, cx + x * plaza)
            beyond = quarter.moved(side_x, cx + x * plaza).moved(side_y.opposite, cy + y * plaza)
            for lawn in (beside, beyond):
                work.mesh.box(lawn, CURB_HEIGHT, CURB_HEIGHT + 0.1, style=stone, top_style=grass)
            for _ in range(5):
                at = work.uniform(beside.x0 + 2, beside.x1 - 2), work.uniform(beside.y0 + 2, beside.y1 - 2)
                plant_tree(work, (*at, CURB_HEIGHT + 0.1))
    for y0, y1 in (land.y0, land.y0 + 0.9), (land.y1 - 0.9, land.y1):
        for x0, x1 in (land.x0, cx - 4), (cx + 4, land.x1):
            row = Rect(x0, y0, x1, y1).inset(0.1)
            work.mesh.box(row, CURB_HEIGHT, CURB_HEIGHT + 1.0, style=hedge)
    work.mesh.cylinder((cx, cy, CURB_HEIGHT), 4.0, 0.5, sides=20, style=stone)
    work.mesh.cylinder((cx, cy, CURB_HEIGHT), 3.5, 0.55, sides=20, style=water)
    work.mesh.cylinder((cx, cy, CURB_HEIGHT), 0.5, 2.2, sides=8, style=stone, cone=0.4)
    work.mesh.cylinder((cx, cy, CURB_HEIGHT + 1.3), 1.3, 0.2, sides=12, style=stone)


def hang_awning(work: Construction, rect: Rect, side: Side) -> None:
    """A striped sun blind over the shops on one side of a building."""
    colors = (("#9c2f2b", "#e9e2d2"), ("#2c5a45", "#e9e2d2"), ("#2d4a78", "#e3e3e0"), ("#c2882a", "#efe5cf"))
    base, accent = colors[work.rng.integers(len(colors))]
    cloth = work.styles.add(Style(material=Material.AWNING, base=color(base), accent=color(accent)))
    (x, y), _, along, out = rect.edge(side)
    length = rect.size[side.axis]
    span = min(length - 1.0, work.uniform(4.0, 6.5))
    start = work.uniform(0.5, length - span - 0.5 + 1e-6)
    low = x + start * along[0] + 1.4 * out[0], y + start * along[1] + 1.4 * out[1], CURB_HEIGHT + 2.6
    across, up = (span * along[0], span * along[1], 0.0), (-1.4 * out[0], -1.4 * out[1], 0.55)
    work.mesh.parallelogram(low, across, up, style=cloth)
