"""From a plan to geometry: ground, blocks with their buildings, parks, trees, lamps and cars."""

import math

import numpy as np
import numpy.typing as npt

from neurocity.data.city.buildings import ROOMY, Site, build_building
from neurocity.data.city.chance import chance
from neurocity.data.city.construction import Construction
from neurocity.data.city.layout import CURB_HEIGHT, Block, Layout, Plot, Rect
from neurocity.data.city.mesh import Mesh
from neurocity.data.city.props import LAWN, build_park, line_sidewalks, park_cars, plant_tree
from neurocity.data.city.styles import Material, Style, color

GROUND_TILE = 64.0
TREE_BELT = 26.0


def build_city(layout: Layout, ground_radius: float, seed: int) -> tuple[Mesh, npt.NDArray[np.void]]:
    """The mesh of a plan and its style table; the ground reaches `ground_radius` metres from the centre."""
    city = Construction(chance(seed, "cars"))
    park_cars(city, layout)
    for index, block in enumerate(layout.blocks):
        work = city.with_chance(chance(seed, "block", index))
        _lay_sidewalk(work, block)
        if block.is_park:
            build_park(work, block)
        else:
            _build_plots(work, block, layout, landmark=index)
    _plant_belt(city.with_chance(chance(seed, "belt")), layout)
    _lay_ground(city, layout, ground_radius)
    return city.mesh.build(), city.styles.build()


def _lay_sidewalk(work: Construction, block: Block) -> None:
    paving = work.styles.add(Style(material=Material.PAVING))
    curb = work.styles.plain(color("#bdb9b1"))
    work.mesh.box(block.rect, 0.0, CURB_HEIGHT, style=curb, top_style=paving)
    line_sidewalks(work, block)


def _build_plots(work: Construction, block: Block, layout: Layout, *, landmark: int) -> None:
    """A building on every plot that faces a street, the tallest nearest the middle, and trees elsewhere."""
    tallest = max(block.plots, key=lambda plot: (min(plot.rect.size) > ROOMY, _centrality(plot, layout)))
    for plot in block.plots:
        if plot.frontage:
            number = landmark if plot is tallest else None
            build_building(Site(work, plot, _centrality(plot, layout), number))
        else:
            _plant_courtyard(work, plot)


def _centrality(plot: Plot, layout: Layout) -> float:
    """1 in the middle of the plan, falling to 0 at its corners."""
    width, depth = layout.bounds.size
    x, y = plot.rect.center
    return max(0.0, 1 - math.hypot(2 * x / width, 2 * y / depth))


def _plant_courtyard(work: Construction, plot: Plot) -> None:
    lawn = plot.rect.inset(1.0)
    work.mesh.box(lawn, CURB_HEIGHT, CURB_HEIGHT + 0.1, style=work.styles.add(LAWN))
    for _ in range(3):
        x, y = work.uniform(lawn.x0 + 1.5, lawn.x1 - 1.5), work.uniform(lawn.y0 + 1.5, lawn.y1 - 1.5)
        plant_tree(work, (x, y, CURB_HEIGHT + 0.1))


def _plant_belt(work: Construction, layout: Layout) -> None:
    """Loose trees around the city, clear of the two roads that leave it."""
    inner, outer = layout.bounds.inset(-2.5), layout.bounds.inset(-TREE_BELT)
    through_x, through_y = layout.through
    perimeter = 2 * sum(inner.size)
    planted = 0
    while planted < perimeter / 7:
        x, y = work.uniform(outer.x0, outer.x1), work.uniform(outer.y0, outer.y1)
        inside = inner.x0 < x < inner.x1 and inner.y0 < y < inner.y1
        on_road = min(abs(x - through_x), abs(y - through_y)) < 9
        if not inside and not on_road:
            plant_tree(work, (x, y, 0.0))
            planted += 1


def _lay_ground(work: Construction, layout: Layout, radius: float) -> None:
    """Tiles under and around the city, and four sheets out to the horizon."""
    ground = work.styles.add(Style(material=Material.GROUND))
    near = layout.bounds.inset(-TREE_BELT)
    columns, rows = (math.ceil(size / GROUND_TILE) for size in near.size)
    x = np.linspace(near.x0, near.x1, columns + 1).tolist()
    y = np.linspace(near.y0, near.y1, rows + 1).tolist()
    tiles = [Rect(x[i], y[j], x[i + 1], y[j + 1]) for i in range(columns) for j in range(rows)]
    for rect in tiles + Rect(-radius, -radius, radius, radius).around(near):
        work.mesh.floor(rect, 0.0, style=ground)
