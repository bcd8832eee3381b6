"""Buildings: stacked, set-back and gabled masses with facades, on one plot each."""

from dataclasses import dataclass, replace

import numpy as np

from neurocity.data.city.construction import Construction
from neurocity.data.city.layout import CURB_HEIGHT, Plot, Rect, Side
from neurocity.data.city.mesh import MeshBuilder
from neurocity.data.city.props import hang_awning
from neurocity.data.city.rooftops import furnish_roof
from neurocity.data.city.styles import Masonry, Material, Style, color

SHOP_HEIGHT = 4.2
PARAPET = 0.9
ROOMY = 12.5
"""Least side of a plot for a tower."""
WHITE_FRAME = color("#d8d4cb")
DARK_FRAME = color("#33363a")
BRICKS = ("#8c5546", "#a4694b", "#784640", "#b3835f", "#946553", "#6e524a")
PLASTERS = ("#cfbd98", "#c9a680", "#d6cfc2", "#aeb9bb", "#c48f74", "#a8b49e", "#d4c084")
CONCRETES = ("#a8a6a1", "#b9b4aa", "#94918c", "#c3bfb6")
STONES = ("#bdb3a2", "#b3aa9c", "#a39b8d", "#c6beb1")
GLASSES = ("#4f7384", "#5b7f78", "#3f5870", "#6d8794", "#8fa3a8")
ROOFS = ("#5d5a57", "#77736d", "#8d8881", "#6a5f57", "#a39d94")
ROOF_TILES = ("#8b5a47", "#74483c", "#5b5c62", "#7e6553")


@dataclass(frozen=True, slots=True)
class Site:
    """What a building is built with.

    centrality: 1 in the middle of the city, 0 at its edge. landmark: for the plot of a block's tallest tower,
    the number of the block, else None.
    """

    work: Construction
    plot: Plot
    centrality: float
    landmark: int | None

    def footprint(self, street_margin: float, yard_margin: float) -> Rect:
        """The plot without a margin towards streets and another towards neighbours."""
        yards = [side for side in Side if side not in self.plot.frontage]
        return self.plot.rect.inset(street_margin, self.plot.frontage).inset(yard_margin, yards)

    def roof_style(self) -> int:
        """A flat roof's style."""
        return self.work.styles.add(Style(material=Material.ROOF, base=self.work.pick(ROOFS)))


def build_building(site: Site) -> None:
    """A building of a kind that suits the place: towers in the middle, houses with gables at the edge."""
    if site.landmark is not None:
        (_glass_tower, _stone_tower)[site.landmark % 2](site)
        return
    kinds = {_walk_up: 1.0, _slab: 0.9, _gabled_house: 0.8 * (1 - site.centrality)}
    if min(site.plot.rect.size) > ROOMY and site.centrality > 0.5:
        kinds |= {_stone_tower: 1.0, _glass_tower: 1.0}
    share = np.array(list(kinds.values()))
    list(kinds)[site.work.rng.choice(len(kinds), p=share / share.sum())](site)


def _walk_up(site: Site) -> None:
    """A brick tenement: shops, cornice, perhaps a lower rear wing, a water tank on the roof."""
    work = site.work
    storeys = int(work.rng.integers(3, 6) + round(2 * site.centrality))
    facade = Style(
        material=Material.FACADE,
        base=work.pick(BRICKS),
        accent=WHITE_FRAME if work.rng.random() < 0.6 else DARK_FRAME,
        masonry=Masonry.BRICK,
        bay=work.uniform(2.7, 3.5),
        window=(work.uniform(0.42, 0.52), 0.58),
    )
    rect = site.footprint(0.0, 0.15)
    rear = None
    if len(site.plot.frontage) == 1 and min(rect.size) > 12 and work.rng.random() < 0.6:
        rect, rear = _split_rear(rect, site.plot.frontage[0])
    shops = work.rng.random() < 0.75
    top = _flat_roofed(site, rect, CURB_HEIGHT, storeys=storeys, facade=facade, shops=shops)
    for side in site.plot.frontage if shops else ():
        hang_awning(work, rect, side)
    trim = work.styles.plain(color("#b8ab93", work.uniform(0.7, 1.1)))
    work.mesh.ring(rect.inset(-0.45), 0.5, top + 0.1, z1=top + 0.55, style=trim)
    furnish_roof(work, rect.inset(1.0), top, tank=work.rng.random() < 0.5)
    if rear is not None:
        _flat_roofed(site, rear, CURB_HEIGHT, storeys=max(1, storeys - 2), facade=facade, shops=False)


def _split_rear(rect: Rect, street: Side) -> tuple[Rect, Rect]:
    """A front house on the street side and a narrower wing behind it."""
    ends = (street.axis, street.axis + 2)
    rear = rect.inset(0.62 * rect.size[1 - street.axis], [street]).inset(0.22 * rect.size[street.axis], ends)
    return rect.moved(street.opposite, rear[street]), rear


def _slab(site: Site) -> None:
    """A concrete or plastered block of flats, with balconies towards the streets."""
    work = site.work
    concrete = work.rng.random() < 0.45
    storeys = int(work.rng.integers(4, 7) + round(3 * site.centrality))
    facade = Style(
        material=Material.FACADE,
        base=work.pick(CONCRETES if concrete else PLASTERS),
        accent=DARK_FRAME if concrete else WHITE_FRAME,
        masonry=Masonry.CONCRETE if concrete else Masonry.PLASTER,
        bay=work.uniform(3.2, 4.2),
        window=(0.78, 0.5) if concrete else (0.5, 0.55),
    )
    rect = site.footprint(0.4, 0.6)
    shops = work.rng.random() < 0.6
    top = _flat_roofed(site, rect, CURB_HEIGHT, storeys=storeys, facade=facade, shops=shops)
    furnish_roof(work, rect.inset(1.0), top, tank=False)
    if work.rng.random() < 0.65:
        first = CURB_HEIGHT + (SHOP_HEIGHT if shops else facade.storey)
        for side in site.plot.frontage:
            _balconies(work, rect, side, first=first, storeys=storeys - (not shops), facade=facade)


def _balconies(
    work: Construction, rect: Rect, side: Side, *, first: float, storeys: int, facade: Style
) -> None:
    """Balconies in every other bay: a slab and a solid railing."""
    beside = rect.inset(-1.1, [side]).moved(side.opposite, rect[side])
    low = Side(side.axis)  # where bays are counted from
    bays = max(1, round(rect.size[low] / facade.bay))
    bay = rect.size[low] / bays
    slab = work.styles.plain(color("#b9b6af"))
    rail = work.styles.plain(work.pick(("#7d8a8c", "#d9d6cf", "#8a5f4c")))
    for storey in range(storeys):
        z = first + storey * facade.storey
        for index in range(1, bays, 2):
            start, end = rect[low] + (index * bay + 0.25), rect[low] + ((index + 1) * bay - 0.25)
            shelf = beside.moved(low, start).moved(low.opposite, end)
            work.mesh.slab(shelf, z, z + 0.16, style=slab)
            work.mesh.ring(shelf, 0.08, z + 0.16, z1=z + 1.0, style=rail)


def _stone_tower(site: Site) -> None:
    """A masonry tower whose upper storeys step back twice, with closely set tall windows."""
    work = site.work
    facade = Style(
        material=Material.FACADE,
        base=work.pick(STONES if work.rng.random() < 0.6 else BRICKS),
        accent=DARK_FRAME,
        masonry=Masonry.STONE if work.rng.random() < 0.6 else Masonry.BRICK,
        bay=work.uniform(2.5, 3.1),
        window=(0.5, 0.66),
        sill=0.2,
    )
    rect = site.footprint(0.0, 0.3)
    base = CURB_HEIGHT
    rise = 0 if site.landmark is None else 3
    tiers = [
        int(work.rng.integers(4, 7)) + rise,
        int(work.rng.integers(2, 5)) + rise,
        int(work.rng.integers(1, 4)),
    ]
    for index, storeys in enumerate(tiers):
        base = _flat_roofed(site, rect, base, storeys=storeys, facade=facade, shops=index == 0)
        step = work.uniform(1.6, 2.4)
        if index == len(tiers) - 1 or min(rect.size) - 2 * step < 6.5:
            break
        rect = rect.inset(step)
    furnish_roof(work, rect.inset(0.8), base, tank=work.rng.random() < 0.4)


def _glass_tower(site: Site) -> None:
    """A glass tower on a podium, with an opaque plant storey on top."""
    work = site.work
    tint = work.pick(GLASSES)
    glass = Style(
        material=Material.CURTAIN_WALL,
        base=tint,
        accent=color("#b9bec2") if work.rng.random() < 0.5 else DARK_FRAME,
        bay=work.uniform(1.5, 2.2),
        storey=3.6,
        window=(1.0, work.uniform(0.7, 1.2)),
        cap=0.0,
    )
    podium = site.footprint(0.2, 0.4)
    base = _flat_roofed(
        site, podium, CURB_HEIGHT, storeys=int(work.rng.integers(1, 3)), facade=glass, shops=True
    )
    tower = podium.inset(work.uniform(1.2, 2.2))
    storeys = int(work.rng.integers(5, 8)) + (1 if site.landmark is None else 5)
    top = _flat_roofed(site, tower, base, storeys=storeys, facade=glass, shops=False)
    plant = tower.inset(min(tower.size) * 0.22)
    louvre = work.styles.plain(color("#8b8f92", work.uniform(0.6, 1.1)))
    work.mesh.box(plant, top, top + 3.2, style=louvre, top_style=site.roof_style())
    furnish_roof(work, plant.inset(0.6), top + 3.2, tank=False)


def _gabled_house(site: Site) -> None:
    """A house of two or three storeys under a tiled gable roof, with chimneys."""
    work = site.work
    storeys = int(work.rng.integers(2, 4))
    plaster = work.rng.random() < 0.6
    facade = Style(
        material=Material.FACADE,
        base=work.pick(PLASTERS if plaster else BRICKS),
        accent=WHITE_FRAME,
        masonry=Masonry.PLASTER if plaster else Masonry.BRICK,
        bay=work.uniform(2.6, 3.4),
        storey=3.1,
        cap=0.3,
    )
    rect = site.footprint(0.5, 1.2)
    style = work.styles.add(facade)
    eaves = CURB_HEIGHT + storeys * facade.storey + facade.cap
    work.mesh.walls(rect, CURB_HEIGHT, eaves, style=style)
    gable = work.styles.add(Style(material=Material.MASONRY, base=facade.base, masonry=facade.masonry))
    tiles = work.styles.add(Style(material=Material.TILES, base=work.pick(ROOF_TILES)))
    ridge = _gable_roof(work.mesh, rect, eaves, tiles=tiles, gable=gable)
    chimney = work.styles.add(Style(material=Material.MASONRY, base=color(BRICKS[2]), masonry=Masonry.BRICK))
    cx, cy = rect.center
    for offset in (-0.3, 0.28)[: int(work.rng.integers(1, 3))]:
        x = cx + (offset * rect.size[0] if rect.size[0] >= rect.size[1] else 0.9)
        y = cy + (0.9 if rect.size[0] >= rect.size[1] else offset * rect.size[1])
        work.mesh.box(Rect(x - 0.4, y - 0.3, x + 0.4, y + 0.3), eaves, ridge + 0.9, style=chimney)


def _gable_roof(builder: MeshBuilder, rect: Rect, eaves: float, *, tiles: int, gable: int) -> float:
    """Two slopes that overhang the walls, and the triangles under them; returns the ridge's height."""
    over = 0.45
    half = min(rect.size) / 2
    rise = 0.72 * half
    low, ridge = eaves - over * rise / half, eaves + rise
    reach = half + over
    # The ridge runs along the longer sides, from gable to gable.
    eaves_sides, gable_sides = (Side.SOUTH, Side.NORTH), (Side.EAST, Side.WEST)
    if rect.size[0] < rect.size[1]:
        eaves_sides, gable_sides = gable_sides, eaves_sides
    for side in eaves_sides:
        edge = rect.inset(-over).edge(side)
        up = (-reach * edge.out[0], -reach * edge.out[1], ridge - low)
        builder.parallelogram((*edge.start, low), edge.span, up, style=tiles)
    for side in gable_sides:
        (x0, y0), (x1, y1), *_ = rect.edge(side)
        peak = ((x0 + x1) / 2, (y0 + y1) / 2, ridge)
        builder.triangle((x0, y0, eaves), (x1, y1, eaves), peak, style=gable)
    return ridge


def _flat_roofed(site: Site, rect: Rect, base: float, *, storeys: int, facade: Style, shops: bool) -> float:
    """Walls, flat roof and parapet; returns the height of the roof. Shops take the place of one storey."""
    work = site.work
    ground = SHOP_HEIGHT + (storeys - 1) * facade.storey if shops else storeys * facade.storey
    top = base + ground + facade.cap
    front = work.styles.add(replace(facade, shop_height=SHOP_HEIGHT if shops else 0.0))
    own_styles = dict.fromkeys(site.plot.frontage, front)
    work.mesh.walls(rect, base, top, style=work.styles.add(facade), own_styles=own_styles)
    work.mesh.floor(rect, top, style=site.roof_style())
    light = 0.8 if facade.material is Material.CURTAIN_WALL else 0.92
    coping = work.styles.plain((facade.base[0] * light, facade.base[1] * light, facade.base[2] * light))
    work.mesh.ring(rect, 0.3, top, z1=top + PARAPET, style=coping)
    return top
