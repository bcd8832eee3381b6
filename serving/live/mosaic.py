"""A picture in rectangles, those in the middle first: there people look."""

import math
from itertools import pairwise
from typing import NamedTuple


class Tile(NamedTuple):
    """A rectangle of a picture, in pixels; x and y of its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def centre_first(width: int, height: int, pixels: int) -> list[Tile]:
    """Tiles of about so many pixels, near to squares, that cover a picture once."""
    tiles = max(1, round(width * height / pixels))
    columns = min(max(1, round(math.sqrt(tiles * width / height))), width, tiles)
    rows = min(max(1, round(tiles / columns)), height)
    across = [width * column // columns for column in range(columns + 1)]
    down = [height * row // rows for row in range(rows + 1)]
    mosaic = [
        Tile(left, top, right - left, bottom - top)
        for top, bottom in pairwise(down)
        for left, right in pairwise(across)
    ]
    return sorted(mosaic, key=lambda tile: math.hypot(*_off_centre(tile, width, height)))


def _off_centre(tile: Tile, width: int, height: int) -> tuple[float, float]:
    return tile.x + (tile.width - width) / 2, tile.y + (tile.height - height) / 2
