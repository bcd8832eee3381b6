"""A picture in tiles of whole rows. A tile's rays are made when its turn comes, its light goes into place."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from neurocity.cameras import Camera
from neurocity.light import Light

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
    """The light [H, W] of a camera, by tiles of at most so many rows of which `at_once` are asked for.

    The first tile that fails ends the others and is raised.
    """
    height, width = camera.height, camera.width
    if rows >= height:
        return (await render_tile(camera)).as_image(height, width)
    whole = Light.empty(height * width)
    tiles = iter([(first, min(height, first + rows)) for first in range(0, height, rows)])
    if at_once == 1:
        await _fill(whole, render_tile, camera, tiles)
        return whole.as_image(height, width)
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(_fill(whole, render_tile, camera, tiles))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return whole.as_image(height, width)


async def _fill(
    whole: Light, render_tile: RenderTile, camera: Camera, tiles: Iterator[tuple[int, int]]
) -> None:
    """Put tiles, given by their first row and the row behind their last, into place until none is left."""
    for first, last in tiles:
        part = await render_tile(rows_of(camera, first, last))
        for target, values in zip(whole, part, strict=True):
            target[first * camera.width : last * camera.width] = values
