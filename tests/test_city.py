"""The generated dataset as a whole: files, splits, determinism, depth against an exhaustive search."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from PIL import Image

from neurocity.cameras import Camera
from neurocity.data.city.build import build_city
from neurocity.data.city.camera_path import plan_shots
from neurocity.data.city.config import CityConfig
from neurocity.data.city.generate import generate_city
from neurocity.data.city.ground import GroundPainter
from neurocity.data.city.layout import Layout, plan_city
from neurocity.data.city.mesh import Mesh
from neurocity.data.city.sky import Sky
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, DataError

TINY = CityConfig(
    seed=3,
    blocks=(1, 1),
    views=8,
    held_out_every=3,
    width=24,
    height=20,
    samples_per_axis=1,
    sparse_points=50,
)


@pytest.fixture(scope="module")
def progress_calls() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, progress_calls: list[tuple[int, int]]) -> Path:
    folder = tmp_path_factory.mktemp("city") / "tiny"
    generate_city(folder, TINY, lambda done, total: progress_calls.append((done, total)))
    return folder


@pytest.fixture(scope="module")
def plan() -> Layout:
    return plan_city(TINY.seed, TINY.blocks)


@pytest.fixture(scope="module")
def mesh(plan: Layout) -> Mesh:
    sky = Sky.from_degrees(TINY.sun_azimuth_degrees, TINY.sun_elevation_degrees, salt=TINY.seed)
    return build_city(plan, GroundPainter(plan, sky).terrain_radius, TINY.seed)[0]


@pytest.fixture(scope="module")
def transforms(dataset: Path) -> dict:
    return json.loads((dataset / "transforms.json").read_text())


@pytest.mark.usefixtures("dataset")
def test_progress_counts_every_view(progress_calls: list[tuple[int, int]]) -> None:
    assert progress_calls == [(done, TINY.views) for done in range(TINY.views + 1)]


def test_files_are_what_the_transforms_say(dataset: Path, transforms: dict) -> None:
    on_disk = {str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file()}
    named = {frame[key] for frame in transforms["frames"] for key in ("file_path", "depth_file_path")}
    assert on_disk == named | {"transforms.json", transforms["ply_file_path"]}
    for frame in transforms["frames"]:
        with Image.open(dataset / frame["file_path"]) as image:
            assert (image.mode, image.size) == ("RGB", (TINY.width, TINY.height))
        depth = np.load(dataset / frame["depth_file_path"])
        assert (depth.dtype, depth.shape) == (np.float32, (TINY.height, TINY.width))


def test_splits_are_disjoint_and_cover_all_views_of_both_kinds(transforms: dict) -> None:
    splits = [transforms[f"{split}_filenames"] for split in ("train", "val", "test")]
    listed = [name for split in splits for name in split]
    assert sorted(listed) == sorted(frame["file_path"] for frame in transforms["frames"])
    assert len(set(listed)) == len(listed) == TINY.views
    assert all(splits)
    held_out = splits[1] + splits[2]
    assert len(held_out) == 3
    assert {Path(name).name.split("_")[0] for name in held_out} == {"aerial", "street"}
    assert sum("street" in name for name in listed) == TINY.street_views == 3


def test_same_config_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    generate_city(tmp_path / "again", TINY)
    files = [path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file()]
    assert len(files) == 2 * TINY.views + 2
    for file in files:
        assert (dataset / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_another_seed_gives_another_city(mesh: Mesh) -> None:
    plan = plan_city(TINY.seed + 1, TINY.blocks)
    other = build_city(plan, 500.0, TINY.seed + 1)[0]
    assert (other.top, len(other.corner)) != (mesh.top, len(mesh.corner))


def test_loads_as_a_scene(dataset: Path, transforms: dict) -> None:
    scene = load_scene(dataset)
    assert {split: len(frames) for split, frames in scene.splits.items()} == {"train": 5, "val": 2, "test": 1}
    assert scene.unbounded
    assert scene.bounds == pytest.approx([value for corner in transforms["aabb"] for value in corner])
    assert scene.points is not None
    assert scene.points.shape == (TINY.sparse_points, 3)


def test_bounds_hold_the_buildings_and_trees_of_the_block(plan: Layout, mesh: Mesh, transforms: dict) -> None:
    low, high = np.array(transforms["aabb"])
    built = mesh.triangles()[0].reshape(-1, 3)
    built = built[
        (built[:, 2] > 0) & (abs(built[:, 0]) < plan.bounds.x1) & (abs(built[:, 1]) < plan.bounds.y1)
    ]
    assert (built > low).all()
    assert (built < high).all()
    assert high[2] - built[:, 2].max() < 1.0


def _cameras(transforms: dict) -> dict[str, Camera]:
    intrinsics = {key: transforms[key] for key in ("fl_x", "fl_y", "cx", "cy")}
    size = {"width": transforms["w"], "height": transforms["h"]}
    return {
        Path(frame["file_path"]).stem: Camera(
            camera_to_world=np.array(frame["transform_matrix"]), **intrinsics, **size
        )
        for frame in transforms["frames"]
    }


def _nearest_hit(
    triangles: npt.NDArray[np.float64], origin: npt.NDArray[np.float64], direction: npt.NDArray[np.float64]
) -> float:
    """Distance to the nearest of all triangles [T, 3, 3], by Moeller and Trumbore (1997); inf for none."""
    a, edge_u, edge_v = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    across = np.cross(direction, edge_v)
    determinant = (edge_u * across).sum(1)
    determinant[determinant == 0] = np.nan
    offset = origin - a
    u = (offset * across).sum(1) / determinant
    turned = np.cross(offset, edge_u)
    v = (turned @ direction) / determinant
    distance = (edge_v * turned).sum(1) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
    return float(distance[hit].min(initial=np.inf))


def test_depth_is_the_z_of_the_nearest_triangle(dataset: Path, mesh: Mesh, transforms: dict) -> None:
    triangles = mesh.triangles()[0]
    rng = np.random.default_rng(0)
    sky = surface = 0
    for name, camera in _cameras(transforms).items():
        depth = np.load(dataset / f"depths/{name}.npy").reshape(-1)
        directions = camera.camera_directions() @ camera.camera_to_world[:3, :3].T
        for pixel in rng.choice(depth.size, size=8, replace=False):
            distance = _nearest_hit(triangles, camera.position, directions[pixel])
            if np.isinf(distance):
                assert depth[pixel] == 0
                sky += 1
            else:
                towards = -camera.camera_to_world[:3, 2]
                assert depth[pixel] == pytest.approx(distance * (directions[pixel] @ towards), rel=1e-5)
                surface += 1
    assert sky > 3
    assert surface > 20


def test_no_camera_stands_in_a_wall(dataset: Path, mesh: Mesh, transforms: dict) -> None:
    for name, camera in _cameras(transforms).items():
        depth = np.load(dataset / f"depths/{name}.npy")
        assert depth[depth > 0].min() > 0.8, name
        height = camera.position[2]
        assert (height > mesh.top) if name.startswith("aerial") else (2 < height < 3), name


def test_sparse_points_lie_where_training_views_see_them(dataset: Path, transforms: dict) -> None:
    cloud = trimesh.load(dataset / transforms["ply_file_path"])
    cameras = _cameras(transforms)
    train = [Path(name).stem for name in transforms["train_filenames"]]
    unseen = np.ones(len(cloud.vertices), dtype=bool)
    for name in train:
        camera = cameras[name]
        depth = np.load(dataset / f"depths/{name}.npy")
        image = np.asarray(Image.open(dataset / f"images/{name}.png"))
        pixels, z = camera.project(np.asarray(cloud.vertices))
        column, row = np.nan_to_num(pixels - 0.5, nan=-1).round().astype(int).T
        inside = (z > 0) & (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
        at = row[inside], column[inside]
        agrees = np.isclose(depth[at], z[inside], rtol=1e-4)
        agrees &= (image[at] == np.asarray(cloud.colors)[inside, :3]).all(1)
        unseen[np.flatnonzero(inside)[agrees]] = False
    assert not unseen.any()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"blocks": (0, 2)}, "blocks along x"),
        ({"blocks": (2, 65)}, "blocks along y"),
        ({"blocks": (2,)}, "blocks"),
        ({"views": 3}, "views"),
        ({"held_out_every": 6}, "held_out_every"),
        ({"street_share": 1.5}, "street_share"),
        ({"width": 0}, "width"),
        ({"fov_degrees": float("nan")}, "fov_degrees"),
        ({"samples_per_axis": 0}, "samples_per_axis"),
        ({"sun_elevation_degrees": 0.0}, "sun_elevation_degrees"),
        ({"sparse_points": 0}, "sparse_points"),
        ({"seed": -1}, "seed"),
    ],
)
def test_config_out_of_range_is_refused(change: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=f"{named}: got .*expected"):
        replace(TINY, **change)


def test_refuses_a_folder_that_holds_something(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="not empty"):
        generate_city(tmp_path, TINY)
    with pytest.raises(DataError, match="something else"):
        generate_city(tmp_path, TINY, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(DataError, match="not empty"):
        generate_city(dataset, TINY)
    with pytest.raises(DataError, match="got a file"):
        generate_city(tmp_path / "thesis.txt", TINY)


def _stop(done: int, _: int) -> None:
    if done == 1:
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        generate_city(tmp_path / "city", TINY, _stop)
    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_a_whole_city(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "city"
    shutil.copytree(dataset, folder)
    generate_city(folder, replace(TINY, views=6), overwrite=True)
    assert len(json.loads((folder / "transforms.json").read_text())["frames"]) == 6
    assert len(list((folder / "images").iterdir())) == 6
    assert list(tmp_path.iterdir()) == [folder]


def test_a_drive_goes_along_each_street_and_back_in_equal_steps():
    config = CityConfig(drive=True, views=120)
    layout = plan_city(config.seed, config.blocks)
    cameras = [shot.camera for shot in plan_shots(config, layout, top=30.0)]
    assert len(cameras) == 120
    places = np.stack([camera.position for camera in cameras])
    looks = np.stack([-camera.camera_to_world[:3, 2] for camera in cameras])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    usual = float(np.median(steps))
    assert np.isclose(steps, usual).sum() >= 120 - 1 - 3, "but where it turns round or goes to another street"
    ahead = looks[::3]  # the camera that looks where the car goes
    for axis in (0, 1):
        for way in (1.0, -1.0):
            assert (ahead[:, axis] * way > 0.95).sum() == 10, "a quarter of the drive each way of two streets"
    going = np.diff(places, axis=0)[::3]
    same = np.linalg.norm(going, axis=1) < 1.5 * usual
    assert ((going * ahead[: len(going)]).sum(1)[same] > 0.95 * usual).all()
    assert (abs(places[:, 2] - 2.6) < 1e-9).all()
