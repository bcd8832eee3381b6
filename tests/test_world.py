"""World and scene coordinates, and the records that carry the origin."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fixtures_export import tiny_info
from georeferenced import OFFSET

from neurocity.cameras import Camera
from neurocity.contract import scene_info_from_dict, to_dict, to_json
from neurocity.errors import CameraError, ManifestError
from neurocity.poses import look_at
from neurocity.world import bounds_in_world, box_to_scene, camera_to_scene, place_camera, views_in_world

ORIGIN = (500_000.0, 5_400_000.0, 0.0)


def camera(eye=(3.0, -2.5, 2.0), target=(0.0, 0.0, 0.5)) -> Camera:
    return Camera.from_fov_y(look_at(eye, target, (0, 0, 1)), 6, 4, 40.0)


def test_rays_keep_what_float32_cannot_hold_of_world_coordinates():
    near = camera((3.0, -2.25, 2.0), (0.0, 0.0, 0.5))
    away = camera((500_003.0, 5_399_997.75, 2.0), (500_000.0, 5_400_000.0, 0.5))
    assert np.abs(away.rays().origins - OFFSET - near.position).max() == 0.25, "the reason for origins"
    inside = camera_to_scene(away, ORIGIN)
    for got, expected in zip(inside.rays().arrays(), near.rays().arrays(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_nothing_changes_where_the_origin_is_zero():
    info, seen = tiny_info(), camera()
    assert camera_to_scene(seen, (0.0, 0.0, 0.0)) is seen
    assert place_camera(seen, info) is seen
    assert place_camera(camera((1e8, 0.0, 0.0)), info).position[0] == 1e8
    assert bounds_in_world(info) == info.bounds
    assert views_in_world(info) == info.views


def test_bounds_and_views_of_a_record_in_world_coordinates():
    info = tiny_info(origin=ORIGIN)
    assert bounds_in_world(info) == (499_999.0, 5_399_998.8, -0.8, 500_001.0, 5_400_000.9, 1.1)
    assert box_to_scene(bounds_in_world(info), ORIGIN) == pytest.approx(info.bounds, abs=1e-8)
    for view, inside in zip(views_in_world(info), info.views, strict=True):
        assert view.name == inside.name
        moved, here = (np.array(item.camera_to_world) for item in (view, inside))
        np.testing.assert_allclose(moved[:3, 3] - OFFSET, here[:3, 3], atol=1e-8)
        np.testing.assert_array_equal(moved[:3, :3], here[:3, :3])


@pytest.mark.parametrize("eye", [(3.0, -2.5, 2.0), (500_000.0, 5_400_000.0, 1e7)])
def test_a_camera_that_stands_in_other_coordinates_is_refused(eye):
    info = tiny_info(origin=ORIGIN)
    with pytest.raises(CameraError, match=r"world coordinates.*\(499999\.000, 5399998\.800, ") as caught:
        place_camera(camera(eye, (0.0, 0.0, 0.0)), info)
    assert caught.value.field == "eye"


def test_a_camera_far_above_its_scene_is_none_of_those():
    info = tiny_info(origin=ORIGIN)
    high = camera((500_000.0, 5_400_000.0, 400_000.0), (500_000.0, 5_400_001.0, 0.0))
    assert place_camera(high, info).position.tolist() == [0.0, 0.0, 400_000.0]
    # Where the origin is not far, a wide scene has a wide neighbourhood.
    wide = replace(info, origin=(0.0, 1_000.0, 0.0), bounds=(-50.0, -50.0, 0.0, 50.0, 50.0, 5.0))
    assert place_camera(camera((0.0, -900.0, 5.0)), wide).position[1] == -1_900.0


def test_the_origin_travels_as_json_and_is_zero_in_older_records():
    info = tiny_info(origin=ORIGIN)
    assert scene_info_from_dict(json.loads(to_json(info))) == info
    old = to_dict(tiny_info())
    assert old.pop("origin") == [0.0, 0.0, 0.0]
    assert scene_info_from_dict(old) == tiny_info()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.0, 0.0], r"scene\.origin: got 2 values, expected 3"),
        ([0.0, 0.0, float("nan")], r"scene\.origin: got .*nan.*, expected 3 finite numbers"),
        ([float("inf"), 0.0, 0.0], r"scene\.origin: got .*inf.*, expected 3 finite numbers"),
        ([0.0, "north", 0.0], r"scene\.origin\[1\]: got 'north'"),
        (None, r"scene\.origin: got None"),
    ],
)
def test_an_origin_that_is_no_place_is_refused(value, message):
    record = json.loads(json.dumps(to_dict(tiny_info()) | {"origin": value}))
    with pytest.raises(ManifestError, match=message):
        scene_info_from_dict(record)
