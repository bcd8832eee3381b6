"""From a plan to geometry: ground, blocks with their buildings, parks, trees, lamps and cars."""

import math

import numpy as np
import numpy.typing as npt

from neurocity.data.city.buildings import Site, build_building
from neurocity.data.city.layout import CURB_HEIGHT, Block, Layout, Plot, Rect
from neurocity.data.city.mesh import Mesh, MeshBuilder
from neurocity.data.city.props import build_park, line_sidewalks, park_cars, plant_tree
from neurocity.data.city.styles import Material, Style, StyleTable, color

GROUND_TILE = 64.0
TREE_BELT = 26.0


def build_city(layout: Layout, ground_radius: float, seed: int) -> tuple[Mesh, npt.NDArray[np.void]]:
    """The mesh of a plan and its style table; the ground reaches `ground_radius` metres from the centre."""
    builder, styles = MeshBuilder(), StyleTable()
    for block in layout.blocks:
        rng = np.random.default_rng(block.seed.spawn(1)[0])
        _build_block(builder, styles, rng, block, layout)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**31,)))
    park_cars(builder, styles, rng, layout)
    _plant_belt(builder, styles, rng, layout)
    _lay_ground(builder, styles, layout, ground_radius)
    return builder.build(), styles.build()


def _build_block(
    builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, block: Block, layout: Layout
) -> None:
    paving = styles.add(Style(material=Material.PAVING))
    curb = styles.plain(color("#bdb9b1"))
    builder.box(block.rect, 0.0, CURB_HEIGHT, style=curb, top_style=paving)
    line_sidewalks(builder, styles, rng, block)
    if block.is_park:
        build_park(builder, styles, rng, block)
    landmark = max(block.plots, key=lambda plot: (min(plot.rect.size) > 12.5, _centrality(plot, layout)), default=None)
    for plot in block.plots:
        if plot.frontage:
            site = Site(builder, styles, rng, plot, _centrality(plot, layout), is_landmark=plot is landmark)
            build_building(site)
        else:
            _plant_courtyard(builder, styles, rng, plot)


def _centrality(plot: Plot, layout: Layout) -> float:
    """1 in the middle of the plan, falling to 0 at its corners."""
    width, depth = layout.bounds.size
    x, y = plot.rect.center
    return max(0.0, 1 - math.hypot(2 * x / width, 2 * y / depth))


def _plant_courtyard(builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, plot: Plot) -> None:
    grass = styles.add(Style(material=Material.GRASS, base=color("#566f41"), accent=color("#76885a")))
    lawn = plot.rect.inset(1.0)
    builder.box(lawn, CURB_HEIGHT, CURB_HEIGHT + 0.1, style=grass)
    for _ in range(3):
        x = float(rng.uniform(lawn.x0 + 1.5, lawn.x1 - 1.5))
        y = float(rng.uniform(lawn.y0 + 1.5, lawn.y1 - 1.5))
        plant_tree(builder, styles, rng, (x, y, CURB_HEIGHT + 0.1))


def _plant_belt(builder: MeshBuilder, styles: StyleTable, rng: np.random.Generator, layout: Layout) -> None:
    """Loose trees around the city, clear of the two roads that leave it."""
    inner, outer = layout.bounds.inset(-2.5), layout.bounds.inset(-TREE_BELT)
    perimeter = 2 * sum(inner.size)
    planted = 0
    while planted < perimeter / 7:
        x, y = float(rng.uniform(outer.x0, outer.x1)), float(rng.uniform(outer.y0, outer.y1))
        inside = inner.x0 < x < inner.x1 and inner.y0 < y < inner.y1
        on_road = min(abs(x - layout.through_x), abs(y - layout.through_y)) < 9
        if not inside and not on_road:
            plant_tree(builder, styles, rng, (x, y, 0.0))
            planted += 1


def _lay_ground(builder: MeshBuilder, styles: StyleTable, layout: Layout, radius: float) -> None:
    """Tiles under and around the city, and four sheets out to the horizon."""
    ground = styles.add(Style(material=Material.GROUND))
    near = layout.bounds.inset(-TREE_BELT)
    columns, rows = (math.ceil(size / GROUND_TILE) for size in near.size)
    x = np.linspace(near.x0, near.x1, columns + 1).tolist()
    y = np.linspace(near.y0, near.y1, rows + 1).tolist()
    for i in range(columns):
        for j in range(rows):
            builder.floor(Rect(x[i], y[j], x[i + 1], y[j + 1]), 0.0, style=ground)
    for sheet in (
        Rect(-radius, -radius, radius, near.y0),
        Rect(-radius, near.y1, radius, radius),
        Rect(-radius, near.y0, near.x0, near.y1),
        Rect(near.x1, near.y0, radius, near.y1),
    ):
        builder.floor(sheet, 0.0, style=ground)
