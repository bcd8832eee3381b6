"""Streets, blocks and plots of a city, from a seed. Lengths in metres, x east, y north."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from neurocity.data.city.chance import chance

STREET_WIDTH = 12.0
SIDEWALK_WIDTH = 3.2
CURB_HEIGHT = 0.15
CAR_SPACING = 5.6
"""Length of a parking bay."""
BLOCK_SIZES = (44.0, 52.0)
PLOT_SIZES = (11.0, 20.0)
PARK_SHARE = 0.2


Point = tuple[float, float]


class Side(IntEnum):
    """A side of a rectangle: the index of its coordinate in `Rect`. Counter-clockwise from the south."""

    SOUTH = 1
    EAST = 2
    NORTH = 3
    WEST = 0

    @property
    def axis(self) -> int:
        """0 for a side that runs along x, 1 for one along y."""
        return 1 - self % 2

    @property
    def opposite(self) -> "Side":
        """The side across the rectangle."""
        return Side((self + 2) % 4)


class Edge(NamedTuple):
    """A side of a rectangle, counter-clockwise: its ends, and unit vectors along it and outwards."""

    start: Point
    end: Point
    along: Point
    out: Point

    @property
    def span(self) -> tuple[float, float, float]:
        """From start to end, in space."""
        return self.end[0] - self.start[0], self.end[1] - self.start[1], 0.0


class Rect(NamedTuple):
    """An axis-aligned rectangle on the ground."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size(self) -> Point:
        """Lengths along x and y."""
        return self.x1 - self.x0, self.y1 - self.y0

    @property
    def center(self) -> Point:
        """The middle point."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def inset(self, margin: float, sides: Collection[int] = tuple(Side)) -> "Rect":
        """The rectangle shrunk (or, for a negative margin, grown) on all or some of its sides."""
        inwards = (margin, margin, -margin, -margin)
        return Rect(*(at + inwards[k] if k in sides else at for k, at in enumerate(self)))

    def moved(self, side: Side, to: float) -> "Rect":
        """The rectangle with one side at another coordinate."""
        return Rect(*(to if k == side else at for k, at in enumerate(self)))

    def edge(self, side: Side) -> Edge:
        """One of its sides."""
        x0, y0, x1, y1 = self
        corners = ((x0, y1), (x0, y0), (x1, y0), (x1, y1))
        along = ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))[side]
        return Edge(corners[side], corners[(side + 1) % 4], along, (along[1], -along[0]))

    def around(self, inner: "Rect") -> list["Rect"]:
        """Four strips that fill this rectangle around one inside of it."""
        return [
            self.moved(Side.NORTH, inner.y0),
            self.moved(Side.SOUTH, inner.y1),
            Rect(self.x0, inner.y0, inner.x0, inner.y1),
            Rect(inner.x1, inner.y0, self.x1, inner.y1),
        ]


@dataclass(frozen=True, slots=True)
class Plot:
    """A piece of a block for one building. `frontage`: the sides that face a street."""

    rect: Rect
    frontage: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Land between four streets, curb to curb. A park has no plots."""

    rect: Rect
    is_park: bool
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan of a city: centre lines of the streets that run along y (`street_x`) and along x."""

    street_x: tuple[float, ...]
    street_y: tuple[float, ...]
    blocks: tuple[Block, ...]

    @property
    def bounds(self) -> Rect:
        """The paved area, with the sidewalks beyond the outermost streets."""
        margin = STREET_WIDTH / 2 + SIDEWALK_WIDTH
        return Rect(self.street_x[0], self.street_y[0], self.street_x[-1], self.street_y[-1]).inset(-margin)

    @property
    def through(self) -> Point:
        """Centre lines of the two streets, along y and along x, that continue out of the city."""
        return self.street_x[len(self.street_x) // 2], self.street_y[len(self.street_y) // 2]


def plan_city(seed: int, blocks: tuple[int, int]) -> Layout:
    """Lay out `blocks[0]` by `blocks[1]` blocks around the origin, a fifth of them (but not all) parks."""
    rng = chance(seed, "streets")
    street_x = _street_lines(rng, blocks[0])
    street_y = _street_lines(rng, blocks[1])
    count = blocks[0] * blocks[1]
    park_count = min(count - 1, max(1, round(PARK_SHARE * count)))
    parks = set(rng.choice(count, size=park_count, replace=False).tolist())
    half = STREET_WIDTH / 2
    planned = []
    for index in range(count):
        i, j = index % blocks[0], index // blocks[0]
        rect = Rect(street_x[i], street_y[j], street_x[i + 1], street_y[j + 1]).inset(half)
        is_park = index in parks
        plots = () if is_park else tuple(_subdivide(chance(seed, "plots", index), rect))
        planned.append(Block(rect, is_park, plots))
    return Layout(street_x, street_y, tuple(planned))


def _street_lines(rng: np.random.Generator, blocks: int) -> tuple[float, ...]:
    pitch = rng.uniform(*BLOCK_SIZES, size=blocks) + STREET_WIDTH
    lines = np.concatenate([[0.0], np.cumsum(pitch)])
    return tuple(float(line) for line in lines - lines[-1] / 2)


def _subdivide(rng: np.random.Generator, block: Rect) -> list[Plot]:
    """Cut a block without its sidewalks into plots, always across the longer side (a k-d tree)."""
    land = block.inset(SIDEWALK_WIDTH)
    pending, plots = [land], []
    least, most = PLOT_SIZES
    while pending:
        rect = pending.pop()
        along = int(rect.size[1] > rect.size[0])
        length = rect.size[along]
        if length <= most or length < 2 * least:
            plots.append(Plot(rect, tuple(side for side in Side if rect[side] == land[side])))
            continue
        share = float(np.clip(rng.normal(0.5 if length < 3 * least else 0.36, 0.05), 0.3, 0.6))
        cut = float(np.clip(share * length, least, length - least))
        low = Side(along)
        middle = rect[low] + cut
        pending.extend((rect.moved(low.opposite, middle), rect.moved(low, middle)))
    return plots
