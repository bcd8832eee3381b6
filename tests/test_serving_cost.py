"""What a picture costs: from the manifest at first, then from what tiles took."""

from dataclasses import replace

import analytic_scene
import pytest

from neurocity.pictures.encoded import MEDIA_TYPES
from neurocity.pictures.options import RenderOptions
from serving.render.cost import (
    CALL_SHARE,
    FRESH_SECONDS,
    LEAST_TILE_PIXELS,
    MOST_TILE_PIXELS,
    OTHER_SPEED,
    SHARED_CALL_SHARE,
    SHARED_TILE_SECONDS,
    TILE_SECONDS,
    UNKNOWN_SECONDS_PER_PIXEL,
    EncodingCost,
    SceneCost,
)
from serving.render.tiles import count_tiles


def cost(profile=None, rays_per_call=4096):
    """The cost of a scene, and a list whose last number is the time."""
    now = [0.0]
    manifest = replace(
        analytic_scene.manifest("onnx", b""), profile=profile or {}, rays_per_call=rays_per_call
    )
    return SceneCost(manifest, lambda: now[-1]), now


def test_the_manifests_speed_is_the_first_guess():
    assert cost({"rays_per_second": 1e5})[0].seconds(50_000) == pytest.approx(0.5)


@pytest.mark.parametrize("speed", [None, 0, -1.0, float("nan"), float("inf"), "fast", [1]])
def test_a_speed_that_is_none_is_not_believed(speed):
    guess = cost({"rays_per_second": speed})[0].seconds(1000)
    assert guess == pytest.approx(1000 * UNKNOWN_SECONDS_PER_PIXEL)


def test_one_tile_teaches_a_scene_of_unknown_speed():
    scene, _ = cost()
    scene.measured(4096, 0.08)
    assert scene.seconds(4096) == pytest.approx(0.08)


def test_it_learns_the_time_of_a_pixel_and_of_a_small_call():
    scene, _ = cost({"rays_per_second": 1e7})
    for _ in range(100):
        scene.measured(64, 0.003)
        scene.measured(4096, 0.04)
    assert scene.seconds(64) == pytest.approx(0.003, rel=0.05)
    assert scene.seconds(3000) == pytest.approx(0.04 * 3000 / 4096, rel=0.05)
    assert scene.seconds(10**6) == pytest.approx(0.04 * 10**6 / 4096, rel=0.05)


def test_small_pictures_do_not_make_large_ones_dear():
    scene, _ = cost({"rays_per_second": 5e6}, rays_per_call=65536)
    for _ in range(50):
        scene.measured(64, 0.02)  # on a busy machine
    assert scene.seconds(64) == pytest.approx(0.02, rel=0.05)
    assert scene.seconds(10**6) == pytest.approx(0.2)


def test_a_hiccup_is_forgotten():
    scene, _ = cost({"rays_per_second": 1e5})
    scene.measured(4096, 5.0)
    for _ in range(50):
        scene.measured(4096, 0.041)
    assert scene.seconds(4096) == pytest.approx(0.041, rel=0.1)


def test_tiles_take_their_time_within_bounds():
    assert cost({"rays_per_second": 1e6})[0].tile_pixels() == pytest.approx(TILE_SECONDS * 1e6)
    assert cost({"rays_per_second": 1.0})[0].tile_pixels() == LEAST_TILE_PIXELS
    assert cost({"rays_per_second": 1.0}, 65536)[0].tile_pixels() == 65536 // CALL_SHARE
    assert cost({"rays_per_second": 1e12})[0].tile_pixels() == MOST_TILE_PIXELS


def test_tiles_are_shorter_where_several_clients_ask():
    scene = cost({"rays_per_second": 2e6})[0]
    assert scene.tile_pixels(shared=True) == round(SHARED_TILE_SECONDS * 2e6) < scene.tile_pixels()
    assert cost({"rays_per_second": 1e4})[0].tile_pixels(shared=True) == LEAST_TILE_PIXELS
    large = cost({"rays_per_second": 1.0}, 65536)[0]
    assert large.tile_pixels(shared=True) == 65536 // SHARED_CALL_SHARE < large.tile_pixels()


def test_classes_of_size_do_not_follow_a_busy_moment():
    scene, now = cost()
    scene.measured(65536, 0.025)
    usual = scene.usual_tile_pixels()
    assert usual == scene.tile_pixels() == 2 * 65536
    for _ in range(50):
        now.append(now[-1] + 0.1)
        scene.measured(65536, 0.1)
    assert scene.tile_pixels() == pytest.approx(65536 // 2, rel=0.01)
    assert scene.usual_tile_pixels() == usual
    for _ in range(500):
        now.append(now[-1] + 1.0)
        scene.measured(65536, 0.1)
    assert 65536 // 2 < scene.usual_tile_pixels() < OTHER_SPEED * 65536 // 2


def test_pictures_at_the_border_of_two_classes_are_all_in_one():
    scene, now = cost()
    seconds = [TILE_SECONDS * share for share in (0.9, 1.1)]
    found = set()
    for number in range(200):
        scene.measured(65536, seconds[number // 100])
        now.append(now[-1] + 1.0)
        found.add(count_tiles(256, 256, scene.usual_tile_pixels()))
    assert len(found) == 1


def test_only_whole_tiles_that_were_measured_lately_are_certain():
    scene, now = cost({"rays_per_second": 1e5})
    assert not scene.is_fresh()
    scene.measured(64, 0.001)
    assert not scene.is_fresh()
    scene.measured(4096, 0.04)
    assert scene.is_fresh()
    now.append(FRESH_SECONDS)
    assert not scene.is_fresh()


def test_encoding_is_learnt_by_format():
    encoding = EncodingCost()
    kinds = [RenderOptions(format=name) for name in MEDIA_TYPES]
    kinds.append(RenderOptions(output="normal", format="webp"))
    before = [encoding.seconds(options, 10**6) for options in kinds]
    webp = RenderOptions(format="webp")
    for _ in range(50):
        encoding.measured(webp, 10**6, 0.5)
        encoding.measured(webp, 64, 0.001)
    assert encoding.seconds(webp, 10**6) == pytest.approx(0.5, rel=0.01)
    after = [encoding.seconds(options, 10**6) for options in kinds]
    assert [options for options, *pair in zip(kinds, before, after, strict=True) if len(set(pair)) > 1] == [
        webp
    ]
