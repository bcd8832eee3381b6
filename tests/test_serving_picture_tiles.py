"""A picture in tiles of rows: the same light as in one piece, each row once."""

import asyncio

import analytic_scene
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocity.errors import EngineError
from neurocity.light import Light
from serving.render.tiles import count_tiles, render_in_tiles, tile_rows


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 2**20))
def test_tiles_are_whole_rows_of_about_equal_size(width, height, pixels):
    rows = tile_rows(width, height, pixels)
    assert rows == 1 or rows * width <= pixels
    tiles = count_tiles(width, height, pixels)
    assert (tiles - 1) * rows < height <= tiles * rows
    assert (tiles > 1) == (height > max(1, pixels // width))


def test_rows_have_the_rays_of_the_whole_image():
    camera = analytic_scene.camera(24, 16)
    whole = camera.rays(radii=True)
    part = camera.cropped(0, 5, camera.width, 7).rays(radii=True)
    for got, expected in zip(part.arrays(), whole[5 * 24 : 12 * 24].arrays(), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert part.width == 24


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("rows", [1, 3, 5, 16, 100])
def test_the_light_is_that_of_the_whole(rows, at_once):
    camera = analytic_scene.camera(24, 16)
    sizes, running, most = [], 0, 0

    async def render_tile(tile):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        sizes.append(tile.height)
        return Light(*(np.float32(values) for values in analytic_scene.render(*tile.rays().arrays())))

    light = asyncio.run(render_in_tiles(render_tile, camera, rows, at_once))
    rgb, depth, opacity = analytic_scene.render(*camera.rays().arrays())
    np.testing.assert_array_equal(light.rgb, np.float32(rgb).reshape(16, 24, 3))
    np.testing.assert_array_equal(light.depth, np.float32(depth).reshape(16, 24))
    np.testing.assert_array_equal(light.opacity, np.float32(opacity).reshape(16, 24))
    assert sum(sizes) == 16
    assert max(sizes) <= rows
    assert most == min(at_once, len(sizes))


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_first_failure_ends_the_other_tiles(at_once):
    started = []

    async def render_tile(tile):
        started.append(tile.cy)
        await asyncio.sleep(0 if len(started) == 1 else 5)
        raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        asyncio.run(render_in_tiles(render_tile, analytic_scene.camera(24, 16), 1, at_once))
    assert len(started) == at_once


def test_a_picture_that_waits_takes_no_room(monkeypatch):
    room, empty = [], Light.empty
    monkeypatch.setattr(Light, "empty", lambda rays: room.append(rays) or empty(rays))
    camera = analytic_scene.camera(24, 16)

    async def session():
        turn = asyncio.Event()

        async def render_tile(tile):
            await turn.wait()
            return Light(*(np.float32(values) for values in analytic_scene.render(*tile.rays().arrays())))

        picture = asyncio.create_task(render_in_tiles(render_tile, camera, 8, 2))
        await asyncio.sleep(0.01)
        assert room == []
        turn.set()
        return await picture

    assert asyncio.run(session()).depth.shape == (16, 24)
    assert room == [24 * 16]
