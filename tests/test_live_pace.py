"""Sizes of live frames, tiles of full pictures, and the rate of messages, without a gateway."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.live.mosaic import centre_first
from serving.live.pace import FEWEST_PIXELS, MOST_TILES, MOVING_SECONDS, TILE_SECONDS, Pace, tile_pixels


@given(st.integers(1, 400), st.integers(1, 300), st.integers(1, 120_000))
def test_tiles_cover_a_picture_once_from_the_middle(width, height, pixels):
    times = np.zeros((height, width), int)
    distances = []
    for x, y, w, h in centre_first(width, height, pixels):
        assert min(w, h) >= 1
        times[y : y + h, x : x + w] += 1
        distances.append(math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2))
    assert (times == 1).all()
    assert distances == sorted(distances)


def test_tiles_have_about_the_size_that_is_wanted():
    tiles = centre_first(1920, 1080, 100_000)
    areas = [tile.width * tile.height for tile in tiles]
    assert 70_000 < min(areas) <= max(areas) < 140_000
    assert all(0.5 < tile.width / tile.height < 2 for tile in tiles)


@pytest.mark.parametrize("pixel_seconds", [1e-7, 1e-6, 1e-5])
def test_moving_frames_come_to_take_their_time(pixel_seconds):
    pace = Pace(1e-6)
    for _ in range(12):
        width, height = pace.moving_size(1920, 1080)
        pace.made(width * height, width * height * pixel_seconds)
        pace.drawn(width * height, 0.005 + width * height * pixel_seconds)
    seconds = 0.005 + width * height * pixel_seconds
    assert seconds == pytest.approx(MOVING_SECONDS, rel=0.3) or (width, height) == (1920, 1080)
    assert width / height == pytest.approx(16 / 9, rel=0.02)


def test_a_slow_client_gets_no_frames_that_are_smaller_than_the_gateway_needs():
    for pixel_seconds, smallest in ((1e-7, 160 * 120), (1e-6, 17_500), (1e-4, FEWEST_PIXELS)):
        pace = Pace(1e-6)
        for _ in range(12):
            width, height = pace.moving_size(1920, 1080)
            pace.made(width * height, width * height * pixel_seconds)
            pace.drawn(width * height, 0.5)
        assert width * height == pytest.approx(smallest, rel=0.02)


def test_tiles_take_their_time_and_are_bounded_in_number_and_in_size():
    assert tile_pixels(1920, 1080, 100.0) == 1920 * 1080 // MOST_TILES
    assert tile_pixels(200, 100, 100.0) == pytest.approx(FEWEST_PIXELS, rel=0.7)
    assert tile_pixels(1920, 1080, 8 * TILE_SECONDS) == 1920 * 1080 // 8
    assert tile_pixels(640, 480, TILE_SECONDS / 2) == 640 * 480
    assert tile_pixels(640, 480, 3.3 * TILE_SECONDS) == tile_pixels(640, 480, 4.9 * TILE_SECONDS)
