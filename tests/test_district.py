"""The benchmark of a district: what it knows of borders, judges, flies over, and keeps from run to run."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_city_cut import written
from voxel_town import SIDE, town

from benchmarks.district import command
from benchmarks.district.flight import Frame, flown, summary, way
from benchmarks.district.quality import border_distance, quality
from benchmarks.district.steps import Steps
from benchmarks.district.tables import bars, flight_table, quality_table
from deploy.ports import free_port
from neurocity.cameras import Camera
from neurocity.city.manifest import Block, City, Coarse, Ground, read_city
from neurocity.cli import main
from neurocity.data.load import load_scene
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.light import to_bytes
from neurocity.poses import look_at
from neurocity.svraster.native import scene_data

TOWN_BOX = (0.0, 0.0, 0.0, SIDE, SIDE, 0.5 * SIDE)
SIZE = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A town, undivided and in two by two blocks, with photographs of it and their depth maps."""
    root = tmp_path_factory.mktemp("town")
    model = town(32)
    source = written(root, model, bounds=TOWN_BOX)
    assert main(["city", "cut", str(source), "--out", str(root / "town"), "--block-size", str(SIDE / 2)]) == 0
    whole = open_scene(scene_data(model, np.float16))
    names = []
    for part in ("images", "depths"):
        (root / "photographs" / part).mkdir(parents=True)
    for number, eye in enumerate(((2.0, 3.0, 14.0), (13.0, 9.0, 12.0), (9.0, 6.0, 15.0))):
        camera = Camera.from_fov_y(look_at(eye, (0.5 * SIDE, 0.5 * SIDE, 1.0), (0, 0, 1)), SIZE, SIZE, 60.0)
        light = render_rays(whole, camera.rays())
        assert light is not None
        depth = np.where(light.opacity > 0.9, light.depth * camera.z_factors(), 0.0).astype(np.float32)
        shown = light.rgb + (1.0 - light.opacity[:, None])
        names.append(
            {"file_path": f"images/{number}.png", "transform_matrix": camera.camera_to_world.tolist()}
        )
        Image.fromarray(to_bytes(shown).reshape(SIZE, SIZE, 3)).save(
            root / "photographs" / names[-1]["file_path"]
        )
        np.save(root / "photographs" / "depths" / f"{number}.npy", depth.reshape(SIZE, SIZE))
    intrinsics = {name: camera.intrinsics[name] for name in ("fl_x", "fl_y", "cx", "cy")}
    splits = dict(zip(("train", "val", "test"), ([name["file_path"]] for name in names), strict=True))
    document = {
        **{"w": SIZE, "h": SIZE, **intrinsics, "frames": names, "aabb": [TOWN_BOX[:3], TOWN_BOX[3:]]},
        **{f"{split}_filenames": files for split, files in splits.items()},
    }
    (root / "photographs" / "transforms.json").write_text(json.dumps(document))
    return root


def test_borders_are_where_blocks_meet() -> None:
    """Cells of 10 m: two of them are one block, and one has none."""
    ground = Ground(low=(0.0, 0.0, 0.0), side=40.0, level=2)
    box = (0.0, 0.0, 0.0, 40.0, 40.0, 10.0)
    cells = {"a": ((0, 0), (1, 0)), "b": ((0, 1),), "c": ((3, 3),)}
    blocks = tuple(Block(id=name, cells=own, training_box=box) for name, own in cells.items())
    city = City(name="city", ground=ground, blocks=blocks, coarse=Coarse(box=box))
    places = [(1.0, 3.0), (9.0, 8.0), (9.0, 12.0), (11.0, 9.0), (12.0, 12.0), (35.0, 35.0), (-1.0, 5.0)]
    points = np.array([(*place, 4.0) for place in places])
    # Between b and the empty cell beside it there is no border, nor within a.
    np.testing.assert_allclose(border_distance(city, points), [7.0, 2.0, 2.0, np.inf, np.nan, np.inf, np.nan])


def test_errors_near_borders_are_told_from_those_inside(folder: Path) -> None:
    """The photographs are the model's own pictures, but for a stripe of ground in the middle of the town."""
    scene = load_scene(folder / "photographs")
    judged = quality(scene, folder / "town", folder / "models" / "whole_native_fp16", band=0.1)
    assert judged["views"] == 2
    assert judged["band"] == pytest.approx(0.1 * SIDE / 2)
    for name in ("city", "whole"):
        assert min(judged[name][part] for part in ("view", "border", "inside")) > 50.0, "bytes are rounded"
    assert 0.1 < judged["border_pixels"] / judged["inside_pixels"] < 0.6
    for frame in (*scene.splits["val"], *scene.splits["test"]):
        depth = np.load(folder / "photographs" / "depths" / f"{Path(frame.name).stem}.npy").reshape(-1)
        ground = frame.camera.unproject(depth)[:, :2]
        stripe = (np.abs(ground - 0.5 * SIDE).min(1) < 0.05 * SIDE / 2) & (depth > 0)
        image = np.asarray(Image.open(frame.image_path)).copy()
        image.reshape(-1, 3)[stripe] //= 2
        Image.fromarray(image).save(frame.image_path)
    changed = quality(scene, folder / "town", folder / "models" / "whole_native_fp16", band=0.1)
    for name in ("city", "whole"):
        assert changed[name]["border"] < 25.0
        assert changed[name]["inside"] == judged[name]["inside"]
    assert "| city in blocks |" in quality_table(changed)[2]


def test_a_flight_goes_over_all_blocks_at_one_height(folder: Path) -> None:
    cameras = way(read_city(folder / "town"), top=6.0, frames=40)
    eyes = np.array([camera["look_at"]["eye"] for camera in cameras]) - (1000.0, 2000.0, 0.0)
    targets = np.array([camera["look_at"]["target"] for camera in cameras]) - (1000.0, 2000.0, 0.0)
    assert len(cameras) == 40
    np.testing.assert_allclose(eyes[:, 2], 6.0 + 0.25 * SIDE / 2)
    assert (targets[:, 2] == 0.0).all()
    assert len({tuple(cell) for cell in (eyes[:, :2] // (SIDE / 2)).astype(int).tolist()}) == 4
    assert (np.linalg.norm(eyes - targets, axis=1) > 1.0).all()


def test_flights_over_http_lose_nothing(folder: Path) -> None:
    """With memory for one block of four; models come and go, and no frame is refused."""
    cameras = way(read_city(folder / "town"), 6.0, 6)
    size = max(block.model.artefact.bytes for block in read_city(folder / "town").blocks if block.model)
    options = ["--city-bytes", str(2 * size), "--city-wait-seconds", "60"]
    flight = flown(folder / "town", "town", free_port(), options, cameras, (16, 12))
    for turn in ("cold", "warm"):
        assert (flight[turn]["frames"], flight[turn]["refused"], flight[turn]["coarse"]) == (6, 0, 0)
        assert flight[turn]["all"]["frames"] == 6
        assert 0.0 < flight[turn]["all"]["p50"] <= flight[turn]["all"]["p95"]
    assert flight["cold"]["loads"] >= 4
    assert flight["cold"]["load_seconds"] > 0.0
    assert 0.0 < flight["resident_mib"] * 2**20 <= 2 * size
    flights = {"few": flight, "all": flight, "whole": flight, "memory": 2 * size}
    table = flight_table(flights)
    assert len(table) == 2 + 6
    judged = {name: {"border": 20.0, "inside": 20.1} for name in ("city", "whole")}
    assert all(bar.holds for bar in bars(judged, flights))
    refused = summary([Frame(200, 0.1, True, 50.0), Frame(503, 0.0, False, 0.0)])
    assert (refused["refused"], refused["coarse"], refused["waited"]["frames"]) == (1, 1, 1)
    assert not bars(judged, {**flights, "all": {"cold": refused, "warm": refused}})[0].holds


def test_steps_are_done_once_and_belong_to_their_settings(tmp_path: Path) -> None:
    done: list[str] = []

    def task() -> dict:
        done.append("step")
        return {"figure": 7}

    for _ in range(2):
        steps = Steps(tmp_path / "out", {"blocks": (2, 2)})
        steps.once("step", task)
        assert steps.done["step"]["figure"] == 7
    assert done == ["step"]
    with pytest.raises(SystemExit, match=r"has a benchmark with \{'blocks': \[2, 2\]\}; name another folder"):
        Steps(tmp_path / "out", {"blocks": (3, 3)})
    with pytest.raises(
        SystemExit, match=r"(?s)demo-data --views 1 .* ended with 2, see .*log:.*views: got 1"
    ):
        steps.run("neurocity", "demo-data", "--views", "1", tmp_path / "city")


@pytest.mark.nightly
@pytest.mark.slow
def test_a_small_district_from_photographs_to_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["district", str(tmp_path / "out"), "--small", "--port", str(free_port())]
    )
    command.main()
    printed = capsys.readouterr().out
    assert "| plan |" in printed
    assert "| city in blocks |" in printed
    assert "| frames refused | 0 | 0 | holds |" in printed
    command.main()
    assert capsys.readouterr().out == printed
