"""The OpenSfM reader against the projections of OpenSfM's documentation (geometric models)."""

import json

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, pixels, write_image
from ray_oracle import all_frames, assert_rays_hit_their_pixels, rotation

from neurocity.data.load import load_scene
from neurocity.errors import DataError

CAMERAS = {
    "perspective": {"focal": 0.8, "k1": -0.1, "k2": 0.02},
    "simple_radial": {"focal_x": 0.8, "focal_y": 0.82, "c_x": 0.02, "c_y": -0.01, "k1": -0.1},
    "radial": {"focal_x": 0.8, "focal_y": 0.82, "c_x": 0.02, "c_y": -0.01, "k1": -0.1, "k2": 0.02},
    "brown": {
        **{"focal_x": 0.8, "focal_y": 0.82, "c_x": 0.02, "c_y": -0.01},
        **{"k1": -0.1, "k2": 0.02, "k3": 0.01, "p1": 0.004, "p2": -0.003},
    },
    "fisheye": {"focal": 0.6, "k1": -0.05, "k2": 0.01},
    "fisheye_opencv": {
        **{"focal_x": 0.6, "focal_y": 0.62, "c_x": 0.02, "c_y": -0.01},
        **{"k1": -0.05, "k2": 0.01, "k3": 0.002, "k4": -0.001},
    },
    "fisheye62": {
        **{"focal_x": 0.6, "focal_y": 0.62, "c_x": 0.02, "c_y": -0.01},
        **{
            "k1": -0.05,
            "k2": 0.01,
            "k3": 0.002,
            "k4": -0.001,
            "k5": 0.0,
            "k6": 0.0,
            "p1": 0.004,
            "p2": -0.003,
        },
    },
}


def shot(index, camera="brown"):
    """World to camera: a rotation vector and a translation."""
    return {
        "rotation": [1.3 + 0.05 * index, -0.4, 0.2 * index],
        "translation": [0.3 * index, -0.2, 2.0],
        "camera": f"v2 {camera}",
        "gps_position": [0.0, 0.0, 0.0],
        "orientation": 1,
    }


def reconstruction(cameras=("brown",), count=3, size=(WIDTH, HEIGHT), **others):
    return {
        "cameras": {
            f"v2 {name}": {"projection_type": name, "width": size[0], "height": size[1], **CAMERAS[name]}
            for name in cameras
        },
        "shots": {f"{i:02}.jpg.png": shot(i, cameras[i % len(cameras)]) for i in range(count)},
        "points": {},
        "reference_lla": {"latitude": 48.0, "longitude": 11.0, "altitude": 500.0},
        **others,
    }


def write(root, *reconstructions, folder="", size=(WIDTH, HEIGHT)):
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "reconstruction.json").write_text(json.dumps(reconstructions))
    for name in {name for item in reconstructions for name in item.get("shots", {})}:
        write_image(root / "images" / name, pixels(int(name[:2]), size=size))
    return root


def project(index, model, size=(WIDTH, HEIGHT)):
    """OpenSfM's documentation, with normalised coordinates times the longer side, from the image's centre."""
    pose, camera = shot(index), CAMERAS[model]
    vector = np.array(pose["rotation"])
    turn = rotation(vector, np.linalg.norm(vector))

    def pixel(points):
        x, y, z = (points @ turn.T + pose["translation"]).T
        k = [camera.get(f"k{n}", 0.0) for n in (1, 2, 3, 4)]
        p1, p2 = camera.get("p1", 0.0), camera.get("p2", 0.0)
        if "fisheye" in model:
            r = np.hypot(x, y)
            theta = np.arctan2(r, z)
            d = 1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8
            x, y = theta * x / r, theta * y / r
            r2 = theta**2
        else:
            x, y = x / z, y / z
            r2 = x**2 + y**2
            d = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3
        u = d * x + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
        v = d * y + 2 * p2 * x * y + p1 * (r2 + 2 * y**2)
        u = camera.get("focal", camera.get("focal_x")) * u + camera.get("c_x", 0.0)
        v = camera.get("focal", camera.get("focal_y")) * v + camera.get("c_y", 0.0)
        return np.stack([u, v], 1) * max(size) + 0.5 * np.array(size)

    return pixel


@pytest.mark.parametrize("model", CAMERAS)
def test_every_ray_hits_its_pixel(tmp_path, model):
    frames = all_frames(load_scene(write(tmp_path, reconstruction([model]))))
    assert sorted(frames) == ["00.jpg.png", "01.jpg.png", "02.jpg.png"]
    for i, name in enumerate(sorted(frames)):
        assert_rays_hit_their_pixels(frames[name].camera, project(i, model))
        np.testing.assert_array_equal(frames[name].load_image()[..., :3], pixels(i))


def test_portraits_and_smaller_images(tmp_path):
    calibrated, stored = (2 * HEIGHT, 2 * WIDTH), (HEIGHT, WIDTH)
    root = write(tmp_path, reconstruction(["radial"], size=calibrated), size=stored)
    for i, (_, frame) in enumerate(sorted(all_frames(load_scene(root)).items())):
        assert_rays_hit_their_pixels(frame.camera, project(i, "radial", stored))


def test_each_shot_has_its_camera(tmp_path):
    frames = all_frames(load_scene(write(tmp_path, reconstruction(["brown", "fisheye"]))))
    for i, model in enumerate(["brown", "fisheye", "brown"]):
        assert_rays_hit_their_pixels(frames[f"{i:02}.jpg.png"].camera, project(i, model))


@pytest.mark.parametrize("place", ["root", "opensfm"])
def test_opendronemap_has_images_beside_the_folder_of_the_reconstruction(tmp_path, place):
    write(tmp_path, reconstruction(), folder="opensfm")
    scene = load_scene(tmp_path / "opensfm" if place == "opensfm" else tmp_path)
    assert len(all_frames(scene)) == 3


def test_undistorted_images_have_an_extension_more(tmp_path):
    data = reconstruction(["perspective"])
    data["shots"] = {name: shot(i, "perspective") for i, name in enumerate(["00.jpg", "01.jpg"])}
    write(tmp_path, data)
    for i in range(2):
        (tmp_path / f"images/0{i}.jpg").unlink()
        write_image(tmp_path / f"images/0{i}.jpg.tif", pixels(i))
    frames = all_frames(load_scene(tmp_path))
    np.testing.assert_array_equal(frames["01.jpg"].load_image()[..., :3], pixels(1))


def test_the_largest_reconstruction_is_read_and_said(tmp_path):
    scene = load_scene(
        write(tmp_path, reconstruction(count=2), reconstruction(count=9), reconstruction(count=3))
    )
    assert len(all_frames(scene)) == 9
    assert any("3 reconstructions" in remark and "5 images" in remark for remark in scene.remarks)
    assert [frame.name for frame in scene.held_out] == ["00.jpg.png", "08.jpg.png"]


def test_points_up_and_masks(tmp_path):
    points = np.random.default_rng(0).normal(0.0, 1.0, (20, 3))
    items = {str(i): {"coordinates": list(point), "color": [1, 2, 3]} for i, point in enumerate(points)}
    items["bad"] = {"coordinates": [0.0, float("nan"), 0.0], "color": [1, 2, 3]}
    write(tmp_path, reconstruction(points=items, pano_shots={"pano.jpg": {}}))
    mask = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    mask[:2] = 0
    write_image(tmp_path / "masks/01.jpg.png.png", mask)
    scene = load_scene(tmp_path)
    np.testing.assert_allclose(scene.points, points)
    assert any("1 points that are not finite" in remark for remark in scene.remarks)
    assert any("1 panoramas" in remark for remark in scene.remarks)
    assert scene.up == (0.0, 0.0, 1.0)
    frames = all_frames(scene)
    assert frames["00.jpg.png"].load_mask() is None
    np.testing.assert_array_equal(frames["01.jpg.png"].load_mask(), mask != 0)


def changed(**values):
    def change(data):
        data["cameras"]["v2 brown"].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(projection_type="spherical"), "image '00.jpg.png': camera 'v2 brown': .*'spherical' is not"),
        (changed(projection_type="dual", focal=1.0), "'dual' is not supported, .*opensfm undistort"),
        (
            changed(projection_type="fisheye62", k5=0.01),
            "'fisheye62': k5 = 0.01 .*opensfm undistort",
        ),
        (changed(k4=0.1), "'brown': k4 = 0.1 is not supported, .*opensfm undistort"),
        (changed(focal_x="long"), "camera 'v2 brown': `focal_x` is 'long'"),
        (changed(width=0), "`width` is 0.0, expected a whole number"),
        (changed(k1=float("nan")), "camera 'v2 brown'.*finite"),
        (lambda data: data["cameras"].clear(), "its camera 'v2 brown' is not among `cameras`"),
        (lambda data: data["shots"]["01.jpg.png"].update(rotation=[1.0]), r"image '01.jpg.png': `rotation`"),
        (lambda data: data["shots"]["01.jpg.png"].pop("translation"), r"`translation` is None"),
        (lambda data: data["shots"].clear(), "the reconstruction has no images"),
        (lambda data: data.update(shots=[]), "reconstruction 0 has no object `shots`"),
        (lambda data: data.update(points={"1": {}}), "`points` are no objects"),
    ],
)
def test_bad_values_are_named(tmp_path, change, message):
    data = reconstruction()
    change(data)
    write(tmp_path, data)
    with pytest.raises(DataError, match=f"reconstruction.json: .*({message})"):
        load_scene(tmp_path)


def test_missing_images_are_counted_or_skipped(tmp_path):
    write(tmp_path, reconstruction(count=6))
    for i in range(3):
        (tmp_path / f"images/{i:02}.jpg.png").unlink()
    with pytest.raises(DataError, match=r"image '00.jpg.png': .*missing.*'02.jpg.png' \(3 of 6\)"):
        load_scene(tmp_path)
    scene = load_scene(tmp_path, missing="skip")
    assert sorted(all_frames(scene)) == ["03.jpg.png", "04.jpg.png", "05.jpg.png"]


def test_truncated_files_are_named_and_other_json_is_left_alone(tmp_path):
    path = write(tmp_path, reconstruction()) / "reconstruction.json"
    path.write_text(json.dumps([reconstruction()], indent=1)[:-40])
    with pytest.raises(DataError, match=r"reconstruction.json: line \d+: not valid JSON"):
        load_scene(tmp_path)
    path.write_text('{"cameras": {}, "shots": {}}')
    with pytest.raises(DataError, match=r"no dataset found; .*reconstruction.json"):
        load_scene(tmp_path)
