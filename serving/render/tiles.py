"""A picture in tiles of whole rows. A tile's rays are made when its turn comes, its light goes into place."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from neurocity.cameras import Camera
from neurocity.light import Light
from serving.parts import fill_in_parts

RenderTile = Callable[[Camera], Awaitable[Light]]
"""The light [R] of all pixels of a camera."""


def tile_rows(width: int, height: int, pixels: int) -> int:
    """Rows of a tile of about so many pixels, so that the last one is not much smaller than the others."""
    tiles = -(-height // max(1, pixels // width))
    return -(-height // tiles)


def count_tiles(width: int, height: int, pixels: int) -> int:
    """Tiles of that size of a picture."""
    return -(-height // tile_rows(width, height, pixels))


def rows_of(camera: Camera, first: int, last: int) -> Camera:
    """The camera of the rows from `first` to before `last` of an image alone."""
    return replace(camera, height=last - first, cy=camera.cy - first)


async def render_in_tiles(render_tile: RenderTile, camera: Camera, rows: int, at_once: int) -> Light:
    """The light [H, W] of a camera, by tiles of at most so many rows; see `parts.fill_in_parts`."""
    height, width = camera.height, camera.width
    if rows >= height:
        return (await render_tile(camera)).as_image(height, width)
    whole = Light.empty(height * width)

    def compute(pixels: slice) -> Awaitable[Light]:
        return render_tile(rows_of(camera, pixels.start // width, pixels.stop // width))

    tiles = (slice(first * width, min(height, first + rows) * width) for first in range(0, height, rows))
    await fill_in_parts(whole, tiles, compute, at_once)
    return whole.as_image(height, width)
