"""Trees, parked cars, street lamps, and the park."""

import math

import numpy as np

from neurocity.data.city.layout import CURB_HEIGHT, SIDEWALK_WIDTH, STREET_WIDTH, Block, Layout, Rect, Side
from neurocity.data.city.mesh import MeshBuilder
from neurocity.data.city.styles import Material, Style, StyleTable, color

LEAVES = (("#41602f", "#6c8647"), ("#385434", "#5d7a4c"), ("#566632", "#848c4c"), ("#34513a", "#527352"))
CAR_PAINTS = ("#c8c9c9", "#23262b", "#7d8288", "#8c1f1f", "#24406e", "#e8e6e0", "#3c5a44", "#b98a2e")
CAR_SPACING = 5.6
CROSSING_CLEARANCE = 7.5
LAMP_SPACING = 17.0


def plant_tree(
    builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, at: tuple[float, float, float]
) -> None:
    """A broad-leaved tree of 5 to 8 m: a trunk and two or three lumps of foliage."""
    x, y, z = at
    size = float(rng.uniform(0.8, 1.25))
    dark, light = LEAVES[rng.integers(len(LEAVES))]
    leaves = styles.add(Style(material=Material.FOLIAGE, base=color(dark), accent=color(light)))
    bark = styles.plain(color("#5d4a3a"))
    builder.cylinder((x, y, z), 0.17 * size, 2.6 * size, sides=5, style=bark)
    builder.blob((x, y, z + 3.9 * size), (1.9 * size, 1.9 * size, 1.75 * size), rng, style=leaves)
    for turn in rng.uniform(0, 2 * math.pi) + np.array([0.0, 2.6]):
        dx, dy = 0.85 * size * math.cos(turn), 0.85 * size * math.sin(turn)
        lump = tuple(float(r) * size for r in rng.uniform((1.0, 1.0, 1.0), (1.4, 1.4, 1.3)))
        builder.blob((x + dx, y + dy, z + float(rng.uniform(3.2, 4.9)) * size), lump, rng, style=leaves)


def line_sidewalks(builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, block: Block) -> None:
    """Street trees and lamps in turns along the curb of a block."""
    line = block.rect.inset(0.9)
    for corner, step, length in _sides(line):
        count = int((length - 8) // (LAMP_SPACING / 2))
        for index in range(count + 1):
            along = 4.0 + (length - 8) * index / max(1, count)
            x, y = corner[0] + along * step[0], corner[1] + along * step[1]
            if index % 2 == 0:
                _lamp(builder, styles, (x, y, CURB_HEIGHT), towards=(step[1], -step[0]))
            elif rng.random() < 0.8:
                plant_tree(builder, styles, rng, (x, y, CURB_HEIGHT))


def _sides(rect: Rect) -> list[tuple[tuple[float, float], tuple[float, float], float]]:
    """Start, unit step and length of the sides, counter-clockwise."""
    width, depth = rect.size
    return [
        ((rect.x0, rect.y0), (1.0, 0.0), width),
        ((rect.x1, rect.y0), (0.0, 1.0), depth),
        ((rect.x1, rect.y1), (-1.0, 0.0), width),
        ((rect.x0, rect.y1), (0.0, -1.0), depth),
    ]


def _lamp(
    builder: MeshBuilder,
    styles: StyleTable,
    at: tuple[float, float, float],
    *,
    towards: tuple[float, float],
) -> None:
    """A lamp post with an arm over the street."""
    x, y, z = at
    metal = styles.plain(color("#3b4043"))
    glass = styles.plain(color("#e9e4d2"))
    builder.cylinder((x, y, z), 0.09, 5.6, sides=5, style=metal)
    tip = x + 1.6 * towards[0], y + 1.6 * towards[1]
    arm = Rect(min(x, tip[0]) - 0.06, min(y, tip[1]) - 0.06, max(x, tip[0]) + 0.06, max(y, tip[1]) + 0.06)
    builder.slab(arm, z + 5.6, z + 5.72, style=metal)
    head = Rect(tip[0] - 0.3, tip[1] - 0.3, tip[0] + 0.3, tip[1] + 0.3)
    builder.slab(head, z + 5.5, z + 5.7, style=glass)


def park_cars(builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, layout: Layout) -> None:
    """Cars in about half of the parking bays on both sides of every street, clear of the crossings."""
    lane = STREET_WIDTH / 2 - 1.15
    for lines, crossings, along_y in (
        (layout.street_x, layout.street_y, True),
        (layout.street_y, layout.street_x, False),
    ):
        for line in lines:
            for start, end in zip(crossings[:-1], crossings[1:], strict=True):
                first, last = start + CROSSING_CLEARANCE + 6.5, end - CROSSING_CLEARANCE - 6.5
                bays = np.arange(math.ceil(first / CAR_SPACING), math.floor(last / CAR_SPACING)) + 0.5
                for side in (-1.0, 1.0):
                    for bay in bays[rng.random(len(bays)) < 0.55]:
                        across = line + side * lane + float(rng.uniform(-0.12, 0.12))
                        along = float(bay) * CAR_SPACING + float(rng.uniform(-0.3, 0.3))
                        heading = (0.0, side) if along_y else (-side, 0.0)
                        at = (across, along) if along_y else (along, across)
                        _car(builder, styles, rng, at, heading=heading)


def _car(
    builder: MeshBuilder,
    styles: StyleTable,
    rng: np.random.Generator,
    at: tuple[float, float],
    *,
    heading: tuple[float, float],
) -> None:
    """A saloon or a van: under-body, body and glass cabin, as profiles swept across the car's width."""
    van = rng.random() < 0.2
    paint = styles.plain(color(CAR_PAINTS[rng.integers(len(CAR_PAINTS))]))
    dark = styles.plain(color("#1c1d1f"))
    glass = styles.add(Style(material=Material.GLASS, base=color("#2b343c")))

    def sweep(profile: list[tuple[float, float]], width: float, edges: list[int]) -> None:
        """`profile` runs from the rear (negative) to the front; `along` points to the car's left."""
        along = (-heading[1] * width, heading[0] * width, 0.0)
        builder.extrusion(
            profile, (at[0] - along[0] / 2, at[1] - along[1] / 2, 0.0), along=along, styles=edges
        )

    sweep([(-1.9, 0.08), (1.9, 0.08), (1.9, 0.42), (-1.9, 0.42)], 1.6, [dark] * 5)
    if van:
        sweep([(-2.3, 0.38), (2.3, 0.38), (2.25, 1.1), (1.5, 2.0), (-2.3, 2.0)], 1.85, [paint] * 6)
        windscreen = [(1.2, 1.2), (2.2, 1.2), (1.55, 1.95), (1.2, 1.95)]
        sweep(windscreen, 1.87, [glass] * 5)
        return
    sweep([(-2.15, 0.36), (2.15, 0.36), (2.1, 0.78), (1.0, 0.92), (-2.1, 0.95)], 1.78, [paint] * 6)
    cabin = [(-1.75, 0.9), (1.0, 0.88), (0.35, 1.42), (-1.2, 1.42)]
    sweep(cabin, 1.56, [glass, glass, paint, glass, glass])


def build_park(builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, block: Block) -> None:
    """Four lawns between crossing paths, a round fountain in the middle, trees and hedges."""
    grass = styles.add(Style(material=Material.GRASS, base=color("#566f41"), accent=color("#76885a")))
    hedge = styles.add(Style(material=Material.FOLIAGE, base=color("#35592f"), accent=color("#5f8547")))
    stone = styles.plain(color("#b9b1a2"))
    water = styles.add(Style(material=Material.WATER, base=color("#4d7f93")))
    land = block.rect.inset(SIDEWALK_WIDTH + 0.4)
    cx, cy = block.rect.center
    path, plaza = 1.8, 7.0
    for x0, x1, towards_x in ((land.x0, cx - path, 1), (cx + path, land.x1, -1)):
        for y0, y1, towards_y in ((land.y0, cy - path, 1), (cy + path, land.y1, -1)):
            # An L around the plaza: the lawn without its inner corner.
            inner_x = cx - plaza if towards_x > 0 else cx + plaza
            inner_y = cy - plaza if towards_y > 0 else cy + plaza
            outer = Rect(x0, y0, inner_x, y1) if towards_x > 0 else Rect(inner_x, y0, x1, y1)
            rest_y = (y0, inner_y) if towards_y > 0 else (inner_y, y1)
            rest = (
                Rect(inner_x, rest_y[0], x1, rest_y[1])
                if towards_x > 0
                else Rect(x0, rest_y[0], inner_x, rest_y[1])
            )
            for lawn in (outer, rest):
                builder.box(lawn, CURB_HEIGHT, CURB_HEIGHT + 0.1, style=stone, top_style=grass)
            for _ in range(5):
                x, y = float(rng.uniform(outer.x0 + 2, outer.x1 - 2)), float(rng.uniform(y0 + 2, y1 - 2))
                plant_tree(builder, styles, rng, (x, y, CURB_HEIGHT + 0.1))
    for rect in (
        Rect(land.x0, land.y0, cx - 4, land.y0 + 0.7),
        Rect(cx + 4, land.y0, land.x1, land.y0 + 0.7),
        Rect(land.x0, land.y1 - 0.7, cx - 4, land.y1),
        Rect(cx + 4, land.y1 - 0.7, land.x1, land.y1),
    ):
        builder.box(rect, CURB_HEIGHT, CURB_HEIGHT + 1.0, style=hedge)
    builder.cylinder((cx, cy, CURB_HEIGHT), 4.0, 0.5, sides=20, style=stone)
    builder.cylinder((cx, cy, CURB_HEIGHT), 3.5, 0.55, sides=20, style=water)
    builder.cylinder((cx, cy, CURB_HEIGHT), 0.5, 2.2, sides=8, style=stone, cone=0.4)
    builder.cylinder((cx, cy, CURB_HEIGHT + 1.3), 1.3, 0.2, sides=12, style=stone)


def hang_awning(
    builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, rect: Rect, *, side: Side
) -> None:
    """A striped sun blind over the shops on one side of a building."""
    colors = (("#9c2f2b", "#e9e2d2"), ("#2c5a45", "#e9e2d2"), ("#2d4a78", "#e3e3e0"), ("#c2882a", "#efe5cf"))
    base, accent = colors[rng.integers(len(colors))]
    cloth = styles.add(Style(material=Material.AWNING, base=color(base), accent=color(accent)))
    x0, y0, x1, y1 = rect.x0, rect.y0, rect.x1, rect.y1
    corner, edge, out = {
        Side.SOUTH: ((x0, y0), (1.0, 0.0), (0.0, -1.0)),
        Side.EAST: ((x1, y0), (0.0, 1.0), (1.0, 0.0)),
        Side.NORTH: ((x1, y1), (-1.0, 0.0), (0.0, 1.0)),
        Side.WEST: ((x0, y1), (0.0, -1.0), (-1.0, 0.0)),
    }[side]
    length = rect.size[0] if side in (Side.SOUTH, Side.NORTH) else rect.size[1]
    span = min(length - 1.0, float(rng.uniform(4.0, 6.5)))
    start = float(rng.uniform(0.5, length - span - 0.5 + 1e-6))
    low = (
        corner[0] + start * edge[0] + 1.4 * out[0],
        corner[1] + start * edge[1] + 1.4 * out[1],
        CURB_HEIGHT + 2.6,
    )
    builder.parallelogram(
        low, (span * edge[0], span * edge[1], 0.0), (-1.4 * out[0], -1.4 * out[1], 0.55), style=cloth
    )
