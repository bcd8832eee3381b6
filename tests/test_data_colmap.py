"""The COLMAP reader against pycolmap: models written by pycolmap, poses and projections compared with it."""

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, all_frames, pixels, write_image
from PIL import Image

from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.poses import opengl_to_opencv

pycolmap = pytest.importorskip("pycolmap")

MODELS = {
    "SIMPLE_PINHOLE": [9.0, 6.1, 3.9],
    "PINHOLE": [9.0, 9.5, 6.1, 3.9],
    "SIMPLE_RADIAL": [9.0, 6.1, 3.9, -0.1],
    "RADIAL": [9.0, 6.1, 3.9, -0.1, 0.03],
    "OPENCV": [9.0, 9.5, 6.1, 3.9, -0.1, 0.03, 0.004, -0.002],
    "FULL_OPENCV": [9.0, 9.5, 6.1, 3.9, -0.1, 0.03, 0.004, -0.002, 0.01, 0.0, 0.0, 0.0],
    "OPENCV_FISHEYE": [7.0, 7.5, 6.1, 3.9, 0.05, -0.01, 0.002, -0.001],
    "SIMPLE_RADIAL_FISHEYE": [7.0, 6.1, 3.9, 0.05],
    "RADIAL_FISHEYE": [7.0, 6.1, 3.9, 0.05, -0.01],
    "SIMPLE_FISHEYE": [7.0, 6.1, 3.9],
    "FISHEYE": [7.0, 7.5, 6.1, 3.9],
}


def reconstruction(model="OPENCV", params=None, images=3, points=50):
    """Images on random poses before points, one camera; ids with gaps, names with a blank and a folder."""
    rng = np.random.default_rng(5)
    scene = pycolmap.Reconstruction()
    camera = pycolmap.Camera(
        camera_id=4, model=model, width=WIDTH, height=HEIGHT, params=params or MODELS[model]
    )
    scene.add_camera_with_trivial_rig(camera)
    for i in range(images):
        quaternion = np.array([0.1, -0.05, 0.02, 1.0]) + rng.normal(0.0, 0.1, 4)
        pose = pycolmap.Rigid3d(
            pycolmap.Rotation3d(quaternion / np.linalg.norm(quaternion)), np.array([0.1 * i, -0.2, 5.0])
        )
        image = pycolmap.Image(name=f"left side/{9 - i}.png", camera_id=4, image_id=10 + 3 * i)
        scene.add_image_with_trivial_frame(image, pose)
    for xyz in rng.normal(0.0, 1.0, (points, 3)):
        scene.add_point3D(xyz, pycolmap.Track(), np.zeros(3, dtype=np.uint8))
    return scene


def write(root, scene, folder="sparse/0", form="bin"):
    target = root / folder
    target.mkdir(parents=True, exist_ok=True)
    (scene.write_binary if form == "bin" else scene.write_text)(target)
    for image in scene.images.values():
        write_image(root / "images" / image.name, pixels(image.image_id))
    return root


@pytest.mark.parametrize("form", ["bin", "txt"])
@pytest.mark.parametrize("model", MODELS)
def test_poses_and_projections_equal_pycolmap(tmp_path, model, form):
    oracle = reconstruction(model)
    frames = all_frames(load_scene(write(tmp_path, oracle, form=form)))
    assert len(frames) == 3
    points = np.random.default_rng(1).uniform(-1.0, 1.0, (40, 3))
    for image in oracle.images.values():
        camera = frames[image.name].camera
        np.testing.assert_allclose(camera.position, image.projection_center(), atol=1e-12)
        world_to_camera = np.linalg.inv(opengl_to_opencv(camera.camera_to_world))
        np.testing.assert_allclose(world_to_camera[:3], image.cam_from_world().matrix(), atol=1e-12)
        projected, depth = camera.project(points)
        expected = np.array([image.project_point(point) for point in points])
        np.testing.assert_allclose(projected, expected, atol=1e-9)
        np.testing.assert_allclose(depth, (image.cam_from_world().matrix() @ np.c_[points, np.ones(40)].T)[2])


@pytest.mark.parametrize("model", MODELS)
def test_ray_directions_equal_pycolmap(tmp_path, model):
    oracle = reconstruction(model)
    camera = next(iter(all_frames(load_scene(write(tmp_path, oracle))).values())).camera
    centers = np.array([(j + 0.5, i + 0.5) for i in range(HEIGHT) for j in range(WIDTH)])
    expected = oracle.cameras[4].cam_ray_from_img(centers) * (1.0, -1.0, -1.0)
    np.testing.assert_allclose(camera.camera_directions(), expected, atol=1e-7)


@pytest.mark.parametrize("form", ["bin", "txt"])
def test_points_are_read(tmp_path, form):
    oracle = reconstruction()
    expected = np.array([point.xyz for point in oracle.points3D.values()])
    points = load_scene(write(tmp_path, oracle, form=form)).points
    np.testing.assert_allclose(np.sort(points, 0), np.sort(expected, 0), rtol=1e-12)


@pytest.fixture(scope="module")
def observed():
    """A reconstruction whose images have keypoints and whose points have tracks."""
    options = pycolmap.SyntheticDatasetOptions(
        num_frames_per_rig=4, num_points3D=20, num_rigs=1, num_cameras_per_rig=1
    )
    oracle = pycolmap.synthesize_dataset(options)
    for camera in oracle.cameras.values():
        camera.rescale(WIDTH, HEIGHT)
    assert any(image.num_points2D() for image in oracle.images.values())
    return oracle


@pytest.mark.parametrize("form", ["bin", "txt"])
def test_keypoints_and_tracks_are_skipped(tmp_path, observed, form):
    scene = load_scene(write(tmp_path, observed, form=form))
    frames = all_frames(scene)
    assert sorted(frames) == sorted(image.name for image in observed.images.values())
    assert len(scene.points) == 20
    for image in observed.images.values():
        np.testing.assert_allclose(frames[image.name].camera.position, image.projection_center(), atol=1e-9)


@pytest.mark.parametrize("name", ["images.bin", "points3D.bin"])
def test_files_that_end_within_keypoints_or_tracks_are_truncated(tmp_path, observed, name):
    path = write(tmp_path, observed) / "sparse/0" / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=rf"{name}: truncated .* 5 bytes too early"):
        load_scene(tmp_path)


@pytest.mark.parametrize("folder", ["sparse/0", "sparse", "colmap/sparse/0"])
def test_places_where_models_stand(tmp_path, folder):
    assert len(all_frames(load_scene(write(tmp_path, reconstruction(), folder)))) == 3


def test_binary_is_preferred_to_text(tmp_path):
    write(tmp_path, reconstruction(images=2), form="txt")
    write(tmp_path, reconstruction(images=3), form="bin")
    assert len(all_frames(load_scene(tmp_path))) == 3


def test_images_are_sorted_by_name_and_every_eighth_is_held_out(tmp_path):
    scene = load_scene(write(tmp_path, reconstruction(images=9)))
    assert [frame.name for frame in scene.splits["test"]] == ["left side/1.png", "left side/9.png"]
    assert [frame.name[-5] for frame in scene.splits["train"]] == list("2345678")
    assert scene.held_out == scene.splits["val"] == scene.splits["test"]


def test_up_is_the_mean_up_axis_or_backwards_for_cameras_that_look_down(tmp_path):
    scene = load_scene(write(tmp_path, reconstruction()))
    axes = np.mean([frame.camera.camera_to_world[:3, 1] for frame in all_frames(scene).values()], 0)
    np.testing.assert_allclose(scene.up, axes / np.linalg.norm(axes))
    nadir = with_rotations(np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]))
    np.testing.assert_allclose(load_scene(write(tmp_path / "nadir", nadir)).up, (0.0, 0.0, 1.0), atol=1e-12)
    opposite = with_rotations(np.eye(3), np.diag([1.0, -1.0, -1.0]))
    with pytest.raises(DataError, match="up cannot be estimated"):
        load_scene(write(tmp_path / "opposite", opposite))


def with_rotations(*world_to_camera):
    scene = pycolmap.Reconstruction()
    scene.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=MODELS["PINHOLE"])
    )
    for i, rotation in enumerate(world_to_camera):
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ np.array([float(i), 0.0, 10.0]))
        scene.add_image_with_trivial_frame(pycolmap.Image(name=f"{i}.png", camera_id=1, image_id=i + 1), pose)
    return scene


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("FOV", [9.0, 9.5, 6.1, 3.9, 0.5]),
        ("THIN_PRISM_FISHEYE", [9.0, 9.5, 6.1, 3.9] + [0.01] * 8),
        ("EUCM", [9.0, 9.5, 6.1, 3.9, 0.5, 1.0]),
        ("FULL_OPENCV", [9.0, 9.5, 6.1, 3.9, -0.1, 0.03, 0.0, 0.0, 0.0, 0.02, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("form", ["bin", "txt"])
def test_unsupported_models_are_named(tmp_path, model, params, form):
    write(tmp_path, reconstruction(model, params), form=form)
    with pytest.raises(DataError, match=rf"image 'left side/7.png'.*{model}"):
        load_scene(tmp_path)


def broken(tmp_path, name, change, form="bin"):
    write(tmp_path, reconstruction(), form=form)
    path = tmp_path / "sparse/0" / name
    change(path)
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_truncated_binary_files_are_named(tmp_path, name):
    message = broken(tmp_path, name, lambda path: path.write_bytes(path.read_bytes()[:-5]))
    assert name in message
    assert "truncated" in message


def test_malformed_text_names_file_and_line(tmp_path):
    def change(path):
        lines = path.read_text().splitlines()
        lines[3] = "4 OPENCV twelve 8 1 1 1 1 0 0 0 0"
        path.write_text("\n".join(lines))

    assert "cameras.txt: line 4: malformed" in broken(tmp_path, "cameras.txt", change, "txt")


def test_missing_files_and_images(tmp_path):
    assert "images.bin and images.txt are missing" in broken(
        tmp_path / "a", "images.bin", lambda path: path.unlink()
    )
    root = write(tmp_path / "b", reconstruction())
    (root / "images/left side/8.png").unlink()
    with pytest.raises(DataError, match=r"image 'left side/8.png': .*missing"):
        load_scene(root)
    write_image(root / "images/left side/8.png", pixels(size=(6, 6)))
    with pytest.raises(DataError, match=r"8.png is 6x6 pixels, its camera 4 has 12x8"):
        load_scene(root)


def test_an_empty_model_is_an_error(tmp_path):
    write(tmp_path, reconstruction(images=0))
    with pytest.raises(DataError, match="no registered images"):
        load_scene(tmp_path)


def test_a_zero_quaternion_is_an_error(tmp_path):
    def change(path):
        path.write_text("10 0 0 0 0 1 2 3 4 left side/9.png\n\n")

    message = broken(tmp_path, "images.txt", change, "txt")
    assert "left side/9.png" in message
    assert "not finite" in message


@pytest.mark.parametrize("form", ["bin", "txt"])
def test_rigs_of_cameras_in_folders_of_their_own(tmp_path, form):
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=2, num_cameras_per_rig=2, num_frames_per_rig=3, num_points3D=20
    )
    oracle = pycolmap.synthesize_dataset(options)
    for camera in oracle.cameras.values():
        camera.rescale(WIDTH, HEIGHT)
    frames = all_frames(load_scene(write(tmp_path, oracle, form=form)))
    assert len(frames) == len(oracle.images) == 12
    assert len({image.camera_id for image in oracle.images.values()}) == 4
    points = np.random.default_rng(1).uniform(-1.0, 1.0, (40, 3))
    for image in oracle.images.values():
        camera = frames[image.name].camera
        np.testing.assert_allclose(camera.position, image.projection_center(), atol=1e-9)
        in_front = (image.cam_from_world().matrix() @ np.c_[points, np.ones(40)].T)[2] > 0.1
        expected = np.array([image.project_point(point) for point in points[in_front]])
        np.testing.assert_allclose(camera.project(points[in_front])[0], expected, atol=1e-6)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientations_are_not_applied_as_in_colmap(tmp_path, orientation):
    root = write(tmp_path, reconstruction())
    for path in (root / "images/left side").iterdir():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.open(path).save(path, exif=exif)
    for frame in all_frames(load_scene(root)).values():
        stored = pixels(10 + 3 * (9 - int(frame.image_path.stem)))
        np.testing.assert_array_equal(frame.load_image()[..., :3], stored)
