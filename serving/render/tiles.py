"""A picture in tiles of whole rows. A tile's rays are made when its turn comes, its light goes into place."""

from collections.abc import Awaitable, Callable

from neurocity.cameras import Camera
from neurocity.light import Light
from serving.parts import in_parts

RenderTile = Callable[[Camera], Awaitable[Light]]
"""The light [R] of all pixels of a camera."""


def tile_rows(width: int, height: int, pixels: int) -> int:
    """Rows of a tile of about so many pixels, so that the last one is not much smaller than the others."""
    tiles = -(-height // max(1, pixels // width))
    return -(-height // tiles)


def count_tiles(width: int, height: int, pixels: int) -> int:
    """Tiles of that size of a picture."""
    return -(-height // tile_rows(width, height, pixels))


async def render_in_tiles(render_tile: RenderTile, camera: Camera, rows: int, at_once: int) -> Light:
    """The light [H, W] of a camera, by tiles of at most so many rows; see `parts.in_parts`."""
    height, width = camera.height, camera.width
    if rows >= height:
        return (await render_tile(camera)).as_image(height, width)

    def compute(pixels: slice) -> Awaitable[Light]:
        first, last = pixels.start // width, pixels.stop // width
        return render_tile(camera.cropped(0, first, width, last - first))

    tiles = (slice(first * width, min(height, first + rows) * width) for first in range(0, height, rows))
    return (await in_parts(height * width, tiles, compute, at_once)).as_image(height, width)
