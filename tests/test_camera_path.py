"""Camera paths of every format: what is read, what is between keyframes, and what is refused."""

import copy
import json
import math

import numpy as np
import pytest
from camera_path_files import (
    CAMERAS,
    assert_same,
    base_cam,
    keyframes,
    nerfstudio_frames,
    three_js_keyframes,
    viser_keyframes,
)

from neurocity.camera_path.path import InstantNGPSpace
from neurocity.camera_path.read import parse_camera_path, read_camera_path
from neurocity.errors import CameraError, DataError
from neurocity.lenses import Lens


def test_frames_of_nerfstudio_come_back_as_they_were():
    path = parse_camera_path(json.loads(json.dumps(nerfstudio_frames())))
    assert path.frames_per_second == 12.0, "frames / seconds, not fps"
    for got, expected in zip(path.cameras, CAMERAS, strict=True):
        assert_same(got, expected)


def test_the_field_of_view_is_vertical_and_sizes_are_the_callers():
    path = parse_camera_path(nerfstudio_frames(), width=640)
    assert (path.cameras[0].width, path.cameras[0].height) == (640, 480)
    path = parse_camera_path(nerfstudio_frames(), width=100, height=300, frames_per_second=5)
    assert (path.cameras[0].width, path.cameras[0].height, path.frames_per_second) == (100, 300, 5.0)
    assert path.cameras[0].fl_x == path.cameras[0].fl_y == pytest.approx(150 / math.tan(math.radians(25)))


@pytest.mark.parametrize(
    ("changes", "rate"),
    [({"seconds": 0}, 24.0), ({"seconds": ...}, 24.0), ({"seconds": ..., "fps": ...}, 30.0)],
)
def test_a_duration_of_nothing_is_none(changes, rate):
    assert parse_camera_path(nerfstudio_frames(**changes)).frames_per_second == rate


def test_a_fisheye_of_nerfstudio_is_equidistant():
    path = parse_camera_path(nerfstudio_frames(camera_type="fisheye"))
    lens = path.cameras[0].lens
    assert lens.model == "OPENCV_FISHEYE"
    camera = path.cameras[0]
    angle = math.radians(30)
    point = camera.position + camera.camera_to_world[:3, :3] @ [math.sin(angle), 0.0, -math.cos(angle)]
    (pixel,), _ = camera.project(point[None])
    assert pixel == pytest.approx([camera.cx + camera.fl_x * angle, camera.cy])


def test_both_dialects_of_keyframes_are_the_same_cameras():
    viser = parse_camera_path(viser_keyframes())
    older = parse_camera_path(three_js_keyframes())
    assert len(viser.cameras) == int(1.5 * 24)
    assert len(older.cameras) == 48
    for path in (viser, older):
        assert_same(path.cameras[0], CAMERAS[0])
    # At a third of the time both are at the second of four keyframes.
    assert_same(viser.cameras[12], CAMERAS[1], atol=1e-7)
    assert_same(older.cameras[16], CAMERAS[1], atol=1e-7)


def test_transitions_of_the_viewer_take_their_own_time():
    file = viser_keyframes(fps=10)
    file["keyframes"][2] |= {"override_transition_enabled": True, "override_transition_sec": 2.0}
    path = parse_camera_path(file)
    assert len(path.cameras) == 30
    assert_same(path.cameras[5], CAMERAS[1], atol=1e-7)
    assert_same(path.cameras[25], CAMERAS[2], atol=1e-7)
    cycle = parse_camera_path(file | {"is_cycle": True})
    assert len(cycle.cameras) == 35
    assert_same(cycle.cameras[30], CAMERAS[3], atol=1e-7)
    assert parse_camera_path(file, seconds=6.0, frames_per_second=20).cameras[100].position == pytest.approx(
        CAMERAS[2].position
    )


def test_tension_of_the_viewer_is_that_of_the_spline():
    tight = parse_camera_path(viser_keyframes(smoothness_value=1.0))
    # With tension 1 velocities at inner keyframes are zero, and the second stretch is a straight line.
    start, end = CAMERAS[1].position, CAMERAS[2].position
    for camera in tight.cameras[12:24]:
        along = (camera.position - start) @ (end - start) / ((end - start) @ (end - start))
        assert camera.position == pytest.approx(start + along * (end - start), abs=1e-9)


def test_keyframes_of_the_older_viewer_are_three_js_catmull_rom():
    file = three_js_keyframes(smoothness_value=0.3, seconds=1.0, fps=30)
    path = parse_camera_path(file)
    points = [camera.position for camera in CAMERAS]
    points = [2 * points[0] - points[1], *points, 2 * points[3] - points[2]]
    for frame, camera in enumerate(path.cameras):
        stretch, t = divmod(frame / 30 * 3, 1)
        x0, x1, x2, x3 = points[int(stretch) : int(stretch) + 4]
        t0, t1 = 0.3 * (x2 - x0), 0.3 * (x3 - x1)
        cubic = x1 + t0 * t + (-3 * x1 + 3 * x2 - 2 * t0 - t1) * t**2 + (2 * x1 - 2 * x2 + t0 + t1) * t**3
        assert camera.position == pytest.approx(cubic, abs=1e-9)
    for entry, time in zip(file["keyframes"], (0.0, 0.1, 0.2, 1.0), strict=True):
        entry["properties"] = json.dumps([["FOV", 50], ["NAME", "Camera"], ["TIME", time]])
    timed = parse_camera_path(file)
    assert_same(timed.cameras[3], CAMERAS[1], atol=1e-7)
    assert_same(timed.cameras[6], CAMERAS[2], atol=1e-7)


def transforms(**changes):
    frames = [
        {
            "file_path": f"images/{i}.png",
            "transform_matrix": camera.camera_to_world.tolist(),
            "fl_x": 70.0 + i,
            "fl_y": 71.0,
        }
        for i, camera in enumerate(CAMERAS)
    ]
    return {"w": 64, "h": 48, "cx": 31.0, "cy": 25.0, "k1": 0.05, "p2": 0.01, "frames": frames} | changes


def test_frames_of_transforms_json_keep_their_order_intrinsics_and_lens():
    file = transforms()
    file["frames"].reverse()
    path = parse_camera_path(file)
    assert path.frames_per_second == 30.0
    for camera, expected, i in zip(path.cameras, CAMERAS[::-1], (3, 2, 1, 0), strict=True):
        np.testing.assert_allclose(camera.camera_to_world, expected.camera_to_world)
        assert (camera.fl_x, camera.fl_y, camera.cx, camera.cy) == (70.0 + i, 71.0, 31.0, 25.0)
        assert camera.lens == Lens("OPENCV", (0.05, 0.0, 0.0, 0.01, 0.0))
    larger = parse_camera_path(file, height=96, frames_per_second=10)
    assert (larger.cameras[0].width, larger.cameras[0].fl_x, larger.cameras[0].cx) == (128, 146.0, 62.0)


def test_transforms_json_of_blender_take_the_size_that_is_asked_for():
    frames = [{"transform_matrix": camera.camera_to_world.tolist()} for camera in CAMERAS]
    file = {"camera_angle_x": 0.7, "frames": frames}
    path = parse_camera_path(file, width=100, height=50)
    assert path.cameras[2].fl_x == path.cameras[2].fl_y == pytest.approx(50 / math.tan(0.35))
    with pytest.raises(DataError, match=r"frames\[0\]: has no `w` and `h`: give width and height"):
        parse_camera_path(file, width=100)


FORMATS = [nerfstudio_frames, viser_keyframes, three_js_keyframes, base_cam, transforms, keyframes]


@pytest.mark.parametrize("make", FORMATS)
def test_every_format_is_bounded(make):
    count = len(parse_camera_path(make()).cameras)
    assert len(parse_camera_path(make(), max_frames=count).cameras) == count
    with pytest.raises(DataError, match=rf"has {count} frames, expected at most {count - 1}"):
        parse_camera_path(make(), max_frames=count - 1)


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e300, 10**400, "one", None, True, [[1]], {}])
def test_every_wrong_value_is_named(make, wrong):
    """Each number of each format, replaced by something else: an error of ours or a path, never another."""
    plain, refused = make(), 0

    def places(value, trail=()):
        if isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                if not isinstance(value, list) or key < 2:
                    yield from places(item, (*trail, key))
        yield trail

    for trail in places(plain):
        if not trail:
            continue
        file = copy.deepcopy(plain)
        inside = file
        for key in trail[:-1]:
            inside = inside[key]
        inside[trail[-1]] = wrong
        try:
            path = parse_camera_path(file)
        except (DataError, CameraError):
            refused += 1
        else:
            assert max(np.abs(camera.camera_to_world).max() for camera in path.cameras) <= 1e9
    assert refused > 5


def changed(file, change):
    change(file)
    return file


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (nerfstudio_frames(camera_type="equirectangular"), "camera_type: got 'equirectangular', supported"),
        (nerfstudio_frames(camera_type="vr180"), "camera_type: got 'vr180'"),
        (nerfstudio_frames(crop={"crop_center": [0, 0, 0]}), "crop: is not supported"),
        (nerfstudio_frames(camera_path=[]), "camera_path: has neither frames nor keyframes"),
        (nerfstudio_frames(render_width=0), "render_width: got 0, expected a whole number of at least 1"),
        (nerfstudio_frames(seconds=-1), "seconds: got -1"),
        (
            changed(nerfstudio_frames(), lambda f: f["camera_path"][3].update(fov=180)),
            r"camera_path\[3\]\.fov: got 180, expected degrees between 0 and 180",
        ),
        (
            changed(nerfstudio_frames(), lambda f: f["camera_path"][2].update(camera_to_world=[1.0] * 15)),
            r"camera_path\[2\]\.camera_to_world: got .*, expected 16 finite numbers",
        ),
        (
            changed(
                nerfstudio_frames(),
                lambda f: f["camera_path"][1].update(
                    camera_to_world=CAMERAS[1].camera_to_world.T.ravel().tolist()
                ),
            ),
            r"camera_path\[1\]\.camera_to_world: .*looks transposed",
        ),
        (viser_keyframes(camera_type="fisheye"), "camera_type: keyframes of a fisheye"),
        (viser_keyframes(default_transition_sec=0), "default_transition_sec: got 0"),
        (three_js_keyframes(is_linear=True), "is_linear: .* not supported"),
        (three_js_keyframes(seconds=0), "seconds: got 0"),
        (three_js_keyframes(CAMERAS[:1]), "keyframes: has 1 entries, expected at least 2"),
        (
            changed(three_js_keyframes(), lambda f: f["keyframes"][1].update(matrix="[1, 2")),
            r"keyframes\[1\]\.matrix: got '\[1, 2', expected a list, written as text",
        ),
        (base_cam(spline_order=4), "spline_order: got 4, expected 0, 1, 2 or 3"),
        (
            changed(base_cam(), lambda f: f["path"][2].update(aperture_size=0.1)),
            r"path\[2\]\.aperture_size: blur out of focus is not supported",
        ),
        (
            changed(base_cam(), lambda f: f["path"][0].update(R=[0, 0, 0, 0])),
            r"path\[0\]\.R: got \[0, 0, 0, 0\], expected a quaternion",
        ),
        (transforms(rolling_shutter=[0, 0, 0.1, 0]), r"frames\[0\]: `rolling_shutter` is"),
        (transforms(camera_model="EQUIRECTANGULAR"), r"frames\[0\]: .*EQUIRECTANGULAR"),
        (
            changed(transforms(), lambda f: f["frames"][2].pop("transform_matrix")),
            r"frames\[2\]: has no pose",
        ),
        (keyframes(zoom=2), "zoom: is not known, known: keyframes, width"),
        (keyframes(seconds=...), "seconds: is missing"),
        (keyframes(frames_per_second=0), "frames_per_second: got 0"),
        (
            changed(keyframes(), lambda f: f["keyframes"][1].update(look_at={})),
            r"keyframes\[1\]: expected one of camera_to_world and look_at",
        ),
        (
            keyframes(keyframes=[{"look_at": {"eye": [0, 0, 1], "target": [0, 0, 1]}}] * 2),
            r"keyframes\[0\]\.look_at: target .* coincides with eye",
        ),
        (
            keyframes((CAMERAS[0], CAMERAS[0], CAMERAS[1])),
            r"keyframes\[0\] and keyframes\[1\] stand at the same",
        ),
        ({"cameras": []}, "is no camera path: got an object with 'cameras', expected nerfstudio's"),
        ([{"file_path": "a", "transform": []}], "is no camera path: got a JSON list"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(file, message):
    with pytest.raises((DataError, CameraError), match=message):
        parse_camera_path(file)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"width": 0}, "width: got 0"),
        ({"frames_per_second": math.nan}, "frames_per_second: got nan"),
        ({"seconds": -1.0}, "seconds: got -1.0"),
        ({"seconds": 1e-3}, "has no frame"),
    ],
)
def test_what_no_film_has_is_refused(request_, message):
    with pytest.raises(DataError, match=message):
        parse_camera_path(base_cam(), **request_)


def test_frames_that_are_listed_are_shown_faster_or_slower():
    assert parse_camera_path(nerfstudio_frames(), seconds=2.0).frames_per_second == 2.0
    assert parse_camera_path(transforms(), seconds=0.5).frames_per_second == 8.0
    with pytest.raises(DataError, match="give frames_per_second or seconds, not both"):
        parse_camera_path(transforms(), seconds=0.5, frames_per_second=8.0)
    with pytest.raises(DataError, match=r"4 frames in 0\.001 seconds: got 4000\.0"):
        parse_camera_path(transforms(), seconds=0.001)


def test_a_space_of_instant_ngp_is_for_its_files_alone():
    with pytest.raises(DataError, match=r"scale and offset of instant-ngp: are for its base_cam\.json alone"):
        parse_camera_path(keyframes(), instant_ngp=InstantNGPSpace())
    for space in ({"scale": 0.0}, {"scale": math.nan}, {"offset": (0.0, math.inf, 0.0)}):
        with pytest.raises(DataError, match="of instant-ngp: got"):
            InstantNGPSpace(**space)


def test_frames_of_several_sizes_are_no_film():
    file = transforms()
    for i, frame in enumerate(file["frames"]):
        frame |= {"w": 64 + 32 * (i == 2), "h": 48}
    del file["w"], file["h"]
    with pytest.raises(DataError, match=r"frames\[2\]: has 96x48 pixels, the first frame 64x48; .* one size"):
        parse_camera_path(file)
    with pytest.raises(DataError, match=r"frames\[0\]: has 64x48 pixels, asked for are 64x64"):
        parse_camera_path(file, width=64, height=64)


def test_files_are_named(tmp_path):
    file = tmp_path / "path.json"
    file.write_text(json.dumps(nerfstudio_frames()), encoding="utf-8-sig")
    assert len(read_camera_path(file, frames_per_second=7).cameras) == 4
    file.write_text(json.dumps(nerfstudio_frames(crop={})))
    with pytest.raises(DataError, match=r"path\.json: crop: is not supported"):
        read_camera_path(file)
    file.write_text("{")
    with pytest.raises(DataError, match=r"path\.json: line 1: not valid JSON"):
        read_camera_path(file)
    with pytest.raises(DataError, match="absent"):
        read_camera_path(tmp_path / "absent.json")


def test_paths_need_no_size_of_their_own():
    assert parse_camera_path(nerfstudio_frames(render_width=..., render_height=...), width=8, height=6)
    with pytest.raises(DataError, match="states no size: give width and height"):
        parse_camera_path(nerfstudio_frames(render_width=..., render_height=...), width=8)
    file = viser_keyframes(render_width=..., render_height=..., camera_path=...)
    assert parse_camera_path(file, width=8, height=6).cameras[0].width == 8
