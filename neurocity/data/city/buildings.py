"""Buildings: stacked, set-back and gabled masses with facades, on one plot each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from neurocity.data.city.layout import CURB_HEIGHT, Plot, Rect, Side
from neurocity.data.city.mesh import MeshBuilder
from neurocity.data.city.rooftops import furnish_roof
from neurocity.data.city.props import hang_awning
from neurocity.data.city.styles import Masonry, Material, Style, StyleTable, color

SHOP_HEIGHT = 4.2
PARAPET = 0.9
WHITE_FRAME = color("#d8d4cb")
DARK_FRAME = color("#33363a")
BRICKS = ("#85574a", "#9a6a52", "#724a44", "#a8846a", "#8d6a5c", "#6b544d", "#8f7f72")
PLASTERS = ("#c9bba2", "#c2a888", "#d2ccc2", "#b6b9b6", "#b8957f", "#a9b0a4", "#cdbd93", "#a7b3ba")
CONCRETES = ("#a8a6a1", "#b9b4aa", "#94918c", "#c3bfb6")
STONES = ("#c4b595", "#b7ab97", "#a79a86", "#cfc4ad")
GLASSES = ("#4f7384", "#5b7f78", "#3f5870", "#6d8794", "#786a58")
ROOFS = ("#5d5a57", "#77736d", "#8d8881", "#6a5f57", "#a39d94")
ROOF_TILES = ("#8b5a47", "#74483c", "#5b5c62", "#7e6553")


@dataclass(frozen=True, slots=True)
class Site:
    """What a building is built with.

    centrality: 1 in the middle of the city, 0 at its edge. is_landmark: the plot of a block's tallest tower.
    """

    builder: MeshBuilder
    styles: StyleTable
    rng: np.random.Generator
    plot: Plot
    centrality: float
    is_landmark: bool

    def pick(self, colors: tuple[str, ...]) -> tuple[float, float, float]:
        """One of the colours, a little lighter or darker."""
        return color(colors[self.rng.integers(len(colors))], float(self.rng.uniform(0.88, 1.12)))

    def footprint(self, street_margin: float, yard_margin: float) -> Rect:
        """The plot without a margin towards streets and another towards neighbours."""
        margins = {s: street_margin if s in self.plot.frontage else yard_margin for s in Side}
        return self.plot.rect.inset_sides(margins)

    def roof_style(self) -> int:
        """A flat roof's style."""
        return self.styles.add(Style(material=Material.ROOF, base=self.pick(ROOFS)))

    def shop_fronts(self, facade: Style) -> Mapping[Side, int]:
        """The facade with shops, for every side that faces a street."""
        shops = self.styles.add(facade.with_shops(SHOP_HEIGHT))
        return dict.fromkeys(self.plot.frontage, shops)


def build_building(site: Site) -> None:
    """A building of a kind that suits the place: towers in the middle, houses with gables at the edge."""
    low_rise = {_walk_up: 1.0, _slab: 0.9, _gabled_house: 0.8 * (1 - site.centrality)}
    towers = {_stone_tower: 1.0, _glass_tower: 1.0}
    roomy = min(site.plot.rect.size) > 12.5
    weights = towers if site.is_landmark else low_rise | towers if roomy and site.centrality > 0.5 else low_rise
    kinds: list[Callable[[Site], None]] = list(weights)
    share = np.array(list(weights.values()))
    kinds[site.rng.choice(len(kinds), p=share / share.sum())](site)


def _walk_up(site: Site) -> None:
    """A brick tenement: shops, cornice, perhaps a lower rear wing, a water tank on the roof."""
    rng = site.rng
    storeys = int(rng.integers(3, 6) + round(2 * site.centrality))
    facade = Style(
        material=Material.FACADE,
        base=site.pick(BRICKS),
        accent=WHITE_FRAME if rng.random() < 0.6 else DARK_FRAME,
        masonry=Masonry.BRICK,
        bay=float(rng.uniform(2.7, 3.5)),
        window=(float(rng.uniform(0.42, 0.52)), 0.58),
    )
    rect = site.footprint(0.0, 0.15)
    rear = None
    if len(site.plot.frontage) == 1 and min(rect.size) > 12 and rng.random() < 0.6:
        rect, rear = _split_rear(rect, next(iter(site.plot.frontage)))
    shops = rng.random() < 0.75
    top = _flat_roofed(site, rect, CURB_HEIGHT, storeys=storeys, facade=facade, shops=shops)
    for side in sorted(site.plot.frontage if shops else (), key=lambda side: side.value):
        hang_awning(site.builder, site.styles, rng, rect, side=side)
    trim = site.styles.plain(color("#b8ab93", float(rng.uniform(0.7, 1.1))))
    site.builder.ring(rect.inset(-0.45), 0.5, top + 0.1, z1=top + 0.55, style=trim)
    furnish_roof(site.builder, site.styles, rng, rect.inset(1.0), top, tank=rng.random() < 0.5)
    if rear is not None:
        _flat_roofed(site, rear, CURB_HEIGHT, storeys=max(1, storeys - 2), facade=facade, shops=False)


def _split_rear(rect: Rect, street: Side) -> tuple[Rect, Rect]:
    """A front house on the street side and a narrower wing behind it."""
    if street in (Side.SOUTH, Side.NORTH):
        depth, inset = 0.62 * rect.size[1], 0.22 * rect.size[0]
        if street is Side.SOUTH:
            cut = rect.y0 + depth
            return Rect(rect.x0, rect.y0, rect.x1, cut), Rect(rect.x0 + inset, cut, rect.x1 - inset, rect.y1)
        cut = rect.y1 - depth
        return Rect(rect.x0, cut, rect.x1, rect.y1), Rect(rect.x0 + inset, rect.y0, rect.x1 - inset, cut)
    depth, inset = 0.62 * rect.size[0], 0.22 * rect.size[1]
    if street is Side.WEST:
        cut = rect.x0 + depth
        return Rect(rect.x0, rect.y0, cut, rect.y1), Rect(cut, rect.y0 + inset, rect.x1, rect.y1 - inset)
    cut = rect.x1 - depth
    return Rect(cut, rect.y0, rect.x1, rect.y1), Rect(rect.x0, rect.y0 + inset, cut, rect.y1 - inset)


def _slab(site: Site) -> None:
    """A concrete or plastered block of flats, with balconies towards the streets."""
    rng = site.rng
    concrete = rng.random() < 0.45
    storeys = int(rng.integers(4, 7) + round(3 * site.centrality))
    facade = Style(
        material=Material.FACADE,
        base=site.pick(CONCRETES if concrete else PLASTERS),
        accent=DARK_FRAME if concrete else WHITE_FRAME,
        masonry=Masonry.CONCRETE if concrete else Masonry.PLASTER,
        bay=float(rng.uniform(3.2, 4.2)),
        window=(0.78, 0.5) if concrete else (0.5, 0.55),
    )
    rect = site.footprint(0.4, 0.6)
    shops = rng.random() < 0.6
    top = _flat_roofed(site, rect, CURB_HEIGHT, storeys=storeys, facade=facade, shops=shops)
    furnish_roof(site.builder, site.styles, rng, rect.inset(1.0), top, tank=False)
    if rng.random() < 0.65:
        first = CURB_HEIGHT + (SHOP_HEIGHT if shops else facade.storey)
        for side in sorted(site.plot.frontage, key=lambda side: side.value):
            _balconies(site, rect, side, first, storeys=storeys - (not shops), facade=facade)


def _balconies(site: Site, rect: Rect, side: Side, first: float, *, storeys: int, facade: Style) -> None:
    """Balconies in every other bay: a slab and a solid railing."""
    length = rect.size[0] if side in (Side.SOUTH, Side.NORTH) else rect.size[1]
    bays = max(1, round(length / facade.bay))
    bay = length / bays
    slab = site.styles.plain(color("#b9b6af"))
    rail = site.styles.plain(site.pick(("#7d8a8c", "#d9d6cf", "#8a5f4c")))
    for storey in range(storeys):
        z = first + storey * facade.storey
        for index in range(1, bays, 2):
            a, b = index * bay + 0.25, (index + 1) * bay - 0.25
            shelf = {
                Side.SOUTH: Rect(rect.x0 + a, rect.y0 - 1.1, rect.x0 + b, rect.y0),
                Side.NORTH: Rect(rect.x0 + a, rect.y1, rect.x0 + b, rect.y1 + 1.1),
                Side.WEST: Rect(rect.x0 - 1.1, rect.y0 + a, rect.x0, rect.y0 + b),
                Side.EAST: Rect(rect.x1, rect.y0 + a, rect.x1 + 1.1, rect.y0 + b),
            }[side]
            site.builder.slab(shelf, z, z + 0.16, style=slab)
            site.builder.ring(shelf, 0.08, z + 0.16, z1=z + 1.0, style=rail)


def _stone_tower(site: Site) -> None:
    """A masonry tower whose upper storeys step back twice, with closely set tall windows."""
    rng = site.rng
    facade = Style(
        material=Material.FACADE,
        base=site.pick(STONES if rng.random() < 0.6 else BRICKS),
        accent=DARK_FRAME,
        masonry=Masonry.STONE if rng.random() < 0.6 else Masonry.BRICK,
        bay=float(rng.uniform(2.5, 3.1)),
        window=(0.5, 0.66),
        sill=0.2,
    )
    rect = site.footprint(0.0, 0.3)
    base = CURB_HEIGHT
    rise = 3 if site.is_landmark else 0
    tiers = [int(rng.integers(4, 7)) + rise, int(rng.integers(2, 5)) + rise, int(rng.integers(1, 4))]
    for index, storeys in enumerate(tiers):
        base = _flat_roofed(site, rect, base, storeys=storeys, facade=facade, shops=index == 0)
        step = float(rng.uniform(1.6, 2.4))
        if index == len(tiers) - 1 or min(rect.size) - 2 * step < 6.5:
            break
        rect = rect.inset(step)
    furnish_roof(site.builder, site.styles, rng, rect.inset(0.8), base, tank=rng.random() < 0.4)


def _glass_tower(site: Site) -> None:
    """A glass tower on a podium, with an opaque plant storey on top."""
    rng = site.rng
    tint = site.pick(GLASSES)
    glass = Style(
        material=Material.CURTAIN_WALL,
        base=tint,
        accent=color("#b9bec2") if rng.random() < 0.5 else DARK_FRAME,
        bay=float(rng.uniform(1.5, 2.2)),
        storey=3.6,
        window=(1.0, float(rng.uniform(0.7, 1.2))),
        cap=0.0,
    )
    podium = site.footprint(0.2, 0.4)
    base = _flat_roofed(site, podium, CURB_HEIGHT, storeys=int(rng.integers(1, 3)), facade=glass, shops=True)
    tower = podium.inset(float(rng.uniform(1.2, 2.2)))
    storeys = int(rng.integers(5, 8)) + (5 if site.is_landmark else 1)
    top = _flat_roofed(site, tower, base, storeys=storeys, facade=glass, shops=False)
    plant = tower.inset(min(tower.size) * 0.22)
    louvre = site.styles.plain(color("#8b8f92", float(rng.uniform(0.6, 1.1))))
    site.builder.box(plant, top, top + 3.2, style=louvre, top_style=site.roof_style())
    furnish_roof(site.builder, site.styles, rng, plant.inset(0.6), top + 3.2, tank=False)


def _gabled_house(site: Site) -> None:
    """A house of two or three storeys under a tiled gable roof, with chimneys."""
    rng = site.rng
    storeys = int(rng.integers(2, 4))
    plaster = rng.random() < 0.6
    facade = Style(
        material=Material.FACADE,
        base=site.pick(PLASTERS if plaster else BRICKS),
        accent=WHITE_FRAME,
        masonry=Masonry.PLASTER if plaster else Masonry.BRICK,
        bay=float(rng.uniform(2.6, 3.4)),
        storey=3.1,
        cap=0.3,
    )
    rect = site.footprint(0.5, 1.2)
    style = site.styles.add(facade)
    eaves = CURB_HEIGHT + storeys * facade.storey + facade.cap
    site.builder.walls(rect, CURB_HEIGHT, eaves, style=style)
    gable = site.styles.add(Style(material=Material.MASONRY, base=facade.base, masonry=facade.masonry))
    tiles = site.styles.add(Style(material=Material.TILES, base=site.pick(ROOF_TILES)))
    ridge = _gable_roof(site.builder, rect, eaves, tiles=tiles, gable=gable)
    chimney = site.styles.add(Style(material=Material.MASONRY, base=color(BRICKS[2]), masonry=Masonry.BRICK))
    cx, cy = rect.center
    for offset in (-0.3, 0.28)[: int(rng.integers(1, 3))]:
        x = cx + (offset * rect.size[0] if rect.size[0] >= rect.size[1] else 0.9)
        y = cy + (0.9 if rect.size[0] >= rect.size[1] else offset * rect.size[1])
        site.builder.box(Rect(x - 0.4, y - 0.3, x + 0.4, y + 0.3), eaves, ridge + 0.9, style=chimney)


def _gable_roof(builder: MeshBuilder, rect: Rect, eaves: float, *, tiles: int, gable: int) -> float:
    """Two slopes that overhang the walls, and the triangles under them; returns the ridge's height."""
    over = 0.45
    along_x = rect.size[0] >= rect.size[1]
    span = min(rect.size)
    rise = 0.36 * span
    slope = rise / (span / 2)
    low, ridge = eaves - over * slope, eaves + rise
    reach, lift = span / 2 + over, ridge - low
    cx, cy = rect.center
    if along_x:
        run = rect.size[0] + 2 * over
        builder.parallelogram(
            (rect.x0 - over, rect.y0 - over, low), (run, 0, 0), (0, reach, lift), style=tiles
        )
        builder.parallelogram(
            (rect.x1 + over, rect.y1 + over, low), (-run, 0, 0), (0, -reach, lift), style=tiles
        )
        builder.triangle(
            (rect.x1, rect.y0, eaves), (rect.x1, rect.y1, eaves), (rect.x1, cy, ridge), style=gable
        )
        builder.triangle(
            (rect.x0, rect.y1, eaves), (rect.x0, rect.y0, eaves), (rect.x0, cy, ridge), style=gable
        )
    else:
        run = rect.size[1] + 2 * over
        builder.parallelogram(
            (rect.x1 + over, rect.y0 - over, low), (0, run, 0), (-reach, 0, lift), style=tiles
        )
        builder.parallelogram(
            (rect.x0 - over, rect.y1 + over, low), (0, -run, 0), (reach, 0, lift), style=tiles
        )
        builder.triangle(
            (rect.x0, rect.y0, eaves), (rect.x1, rect.y0, eaves), (cx, rect.y0, ridge), style=gable
        )
        builder.triangle(
            (rect.x1, rect.y1, eaves), (rect.x0, rect.y1, eaves), (cx, rect.y1, ridge), style=gable
        )
    return ridge


def _flat_roofed(site: Site, rect: Rect, base: float, *, storeys: int, facade: Style, shops: bool) -> float:
    """Walls, flat roof and parapet; returns the height of the roof. Shops take the place of one storey."""
    ground = SHOP_HEIGHT + (storeys - 1) * facade.storey if shops else storeys * facade.storey
    top = base + ground + facade.cap
    fronts = site.shop_fronts(facade) if shops else None
    site.builder.walls(rect, base, top, style=site.styles.add(facade), front_style=fronts)
    site.builder.floor(rect, top, style=site.roof_style())
    light = 0.8 if facade.material is Material.CURTAIN_WALL else 0.92
    coping = site.styles.plain((facade.base[0] * light, facade.base[1] * light, facade.base[2] * light))
    site.builder.ring(rect, 0.3, top, z1=top + PARAPET, style=coping)
    return top
