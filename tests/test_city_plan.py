"""A city planned from photographs: cells, who photographs which, what few show, and the picture of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_image
from georeferenced import OFFSET, write_copy
from PIL import Image

from neurocity.city.ground import cells_of_points
from neurocity.city.manifest import Block, City, read_city
from neurocity.city.picture import BORDER, MARGIN, SIZE, draw_plan
from neurocity.city.plan import PlanOptions, ground_for, plan_city
from neurocity.cli import main
from neurocity.data.city.config import CityConfig
from neurocity.data.city.generate import generate_city
from neurocity.data.load import load_scene
from neurocity.data.scene import Scene
from neurocity.errors import ConfigError, DataError

BLOCK = 67.0
"""Of three by three in the procedural city below."""


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three by three blocks, from the air and from the streets."""
    folder = tmp_path_factory.mktemp("city") / "district"
    config = CityConfig(
        blocks=(3, 3), views=50, width=32, height=24, samples_per_axis=1, sparse_points=8000, street_share=0.3
    )
    generate_city(folder, config)
    return folder


@pytest.fixture(scope="module")
def scene(district: Path) -> Scene:
    return load_scene(district)


@pytest.fixture(scope="module")
def city(scene: Scene) -> City:
    return plan_city(scene, "district", PlanOptions(block_size=BLOCK)).city


def pixel_shares(folder: Path, scene: Scene, city: City) -> dict[tuple[str, str], float]:
    """By photograph and block, the share of pixels that show the block's cells: by depth maps, exactly."""
    shares = {}
    for frame in scene.splits["train"]:
        depth = np.load(folder / "depths" / f"{Path(frame.name).stem}.npy").reshape(-1)
        cells = cells_of_points(city.ground, frame.camera.unproject(depth)[depth > 0])
        for block in city.blocks:
            inside = np.zeros(len(cells), bool)
            for cell in block.cells:
                inside |= (cells == cell).all(1)
            shares[frame.name, block.id] = inside.sum() / len(depth)
    return shares


def test_cells_cover_the_bounds_with_as_few_as_there_can_be(scene: Scene, city: City) -> None:
    assert city.ground.cell_side == BLOCK
    assert city.ground.up_axis == 2
    assert [block.id for block in city.blocks] == [f"x{i}-y{j}" for j in range(3) for i in range(3)]
    boxes = np.array([city.ground.box(cell) for cell in city.owners])
    low, high = np.split(np.array(scene.bounds), 2)
    assert (boxes[:, :3].min(0) <= low).all()
    assert (boxes[:, 3:].max(0) >= high).all()
    assert city.block("x1-y1").neighbours == ("x0-y1", "x1-y0", "x1-y2", "x2-y1")
    assert city.block("x0-y0").neighbours == ("x0-y1", "x1-y0")
    np.testing.assert_allclose(
        city.block("x1-y1").training_box[:2], city.ground.box((1, 1))[:2] - np.full(2, 6.7)
    )


@pytest.mark.parametrize("with_points", [True, False])
def test_photographs_train_the_blocks_that_they_show(
    district: Path, scene: Scene, city: City, with_points: bool
) -> None:
    if not with_points:
        city = plan_city(replace(scene, points=None), "district", PlanOptions(block_size=BLOCK)).city
    shares = pixel_shares(district, scene, city)
    joined = {key: key[0] in city.block(key[1]).photographs for key in shares}
    shown = [key for key, share in shares.items() if share > 0.1]
    assert len(shown) > 60
    missed = [key for key in shown if not joined[key]]
    assert len(missed) <= (0.02 if with_points else 0.1) * len(shown)
    # Photographs of a part are a part of the photographs.
    assert sum(joined.values()) < 0.75 * len(joined)
    idle = [key for key, share in shares.items() if joined[key] and share == 0.0]
    assert len(idle) < 0.25 * sum(joined.values())
    held_out = {frame.name for frame in scene.held_out}
    assert not held_out & {name for block in city.blocks for name in block.photographs}
    assert set(city.coarse.photographs) == {frame.name for frame in scene.splits["train"]}


def test_the_same_place_in_other_coordinates_has_the_same_plan(
    district: Path, scene: Scene, city: City, tmp_path: Path
) -> None:
    moved = load_scene(write_copy(district, tmp_path / "utm"))
    assert scene.points is not None
    moved = replace(moved, points=scene.points + OFFSET - moved.origin)  # which are in a file of their own
    there = plan_city(moved, "district", PlanOptions(block_size=BLOCK), crs="EPSG:25832").city
    assert there.crs == "EPSG:25832"
    assert there.origin != (0.0, 0.0, 0.0)
    np.testing.assert_allclose(np.array(there.ground.low) + there.origin, city.ground.low + np.array(OFFSET))
    assert [block.photographs for block in there.blocks] == [block.photographs for block in city.blocks]


def write_flight(root: Path, *, columns: int = 12, rows: int = 6, hole: bool = False) -> Path:
    """A COLMAP model of an aerial survey: cameras 60 m above flat ground, 10 m apart, look straight down.

    Strips are flown there and back. Points are on the ground, 3 m apart; `hole`: none for x from 40 to 80.
    """
    folder = root / "sparse" / "0"
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("1 PINHOLE 16 16 24 24 8 8\n")
    lines = []
    for index in range(columns * rows):
        x, y = 10.0 * (index % columns) + 5.0, 10.0 * (index // columns) + 5.0
        # World to camera: half a turn around x, or around y. The centre is (x, y, 60).
        turn, shift = ("0 1 0 0", f"{-x} {y}") if index // columns % 2 else ("0 0 1 0", f"{x} {-y}")
        lines += [f"{index + 1} {turn} {shift} 60 1 {index:04}.png", ""]
        write_image(root / "images" / f"{index:04}.png", np.zeros((16, 16, 3), np.uint8))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    grid = [(x, y) for x in np.arange(0.0, 10.0 * columns, 3.0) for y in np.arange(0.0, 10.0 * rows, 3.0)]
    kept = [(x, y) for x, y in grid if not (hole and 40.0 <= x < 80.0)]
    rows_of_points = [
        f"{number} {x} {y} {0.1 * (number % 3)} 0 0 0 1.0" for number, (x, y) in enumerate(kept)
    ]
    (folder / "points3D.txt").write_text("\n".join(rows_of_points) + "\n")
    return root


BOX = (0.0, 0.0, -1.0, 120.0, 60.0, 9.0)


def test_an_aerial_survey_by_colmap_is_divided_as_it_was_flown(tmp_path: Path) -> None:
    """A picture is 40 m wide on the ground; which cells it shows follows from where its camera is."""
    scene = load_scene(write_flight(tmp_path), bounds=BOX)
    assert scene.points is not None
    city = plan_city(scene, "survey", PlanOptions(block_size=40.0, margin=0.0, fewest_views=1)).city
    assert len(city.blocks) == 6
    for block in city.blocks:
        box = city.ground.box(block.cells[0])
        for frame in scene.splits["train"]:
            x, y = (frame.camera.position + scene.origin)[:2]
            overlap = [
                min(at + 20.0, box[axis + 3]) - max(at - 20.0, box[axis]) for axis, at in enumerate((x, y))
            ]
            trains = frame.name in block.photographs
            if min(overlap) > 0.0 and overlap[0] * overlap[1] > 0.15 * 40.0**2:
                assert trains, (block.id, x, y)
            if min(overlap) <= 0.0:
                assert not trains, (block.id, x, y)


def test_cells_without_anything_are_left_to_the_coarse_model(tmp_path: Path) -> None:
    scene = load_scene(write_flight(tmp_path, hole=True), bounds=BOX)
    plan = plan_city(scene, "survey", PlanOptions(block_size=40.0, fewest_views=1))
    assert {cell[0] for cell in plan.city.owners} == {0, 2}
    assert "2 cells have nothing to train and are left to the coarse model: x1-y0, x1-y1" in plan.remarks
    assert all(block.neighbours for block in plan.city.blocks)


def test_blocks_that_few_photographs_show_are_merged_or_refused_by_name(tmp_path: Path) -> None:
    scene = load_scene(write_flight(tmp_path), bounds=BOX)
    options = PlanOptions(block_size=40.0, margin=0.0, fewest_views=1)
    counts = {block.id: len(block.photographs) for block in plan_city(scene, "survey", options).city.blocks}
    least, most = min(counts.values()), max(counts.values())
    assert least < most
    merged = plan_city(scene, "survey", replace(options, fewest_views=least + 1))
    assert len(merged.city.blocks) < len(counts)
    assert sorted(merged.city.owners) == [(i, j) for i in range(3) for j in range(2)]
    assert all(len(block.photographs) > least for block in merged.city.blocks)
    large = max(merged.city.blocks, key=lambda block: len(block.cells))
    assert large.id == city_name(large)
    assert any("has too few photographs and is merged with" in remark for remark in merged.remarks)
    boxes = np.array([merged.city.ground.box(cell) for cell in large.cells])
    assert (np.array(large.training_box)[:2] == boxes[:, :2].min(0)).all()
    few = [name for name, count in counts.items() if count == least]
    with pytest.raises(DataError, match=f"blocks with fewer than {least + 1} photographs: .*{few[0]}"):
        plan_city(scene, "survey", replace(options, fewest_views=least + 1, few="refuse"))
    with pytest.raises(
        DataError, match=r"1000 photographs and no neighbour to merge with: x.*fewer --min-views"
    ):
        plan_city(scene, "survey", replace(options, fewest_views=1000))


def city_name(block: Block) -> str:
    i, j = block.cells[0]
    return f"x{i}-y{j}"


def test_ground_that_is_no_plane_of_axes_is_refused(scene: Scene) -> None:
    with pytest.raises(DataError, match=r"up is \[0.0, 0.6, 0.8\], 37 degrees off the nearest axis"):
        ground_for(replace(scene, up=(0.0, 0.6, 0.8)), 60.0)
    assert ground_for(replace(scene, up=(0.0, -1.0, 0.0)), 60.0).axes == (0, 2)


def test_more_cells_than_anybody_wants_are_refused(scene: Scene) -> None:
    with pytest.raises(
        ConfigError, match=r"block_size: got 0.5, of which the bounds hold \d+ by \d+; expected"
    ):
        ground_for(scene, 0.5)
    for name, value in (
        ("block_size", 0.0),
        ("block_size", float("nan")),
        ("margin", 0.7),
        ("fewest_views", 0),
    ):
        with pytest.raises(ConfigError, match=r"got .*, expected"):
            PlanOptions(**{"block_size": 10.0, name: value})  # type: ignore[arg-type]


def test_a_block_may_be_larger_than_the_city(scene: Scene) -> None:
    plan = plan_city(scene, "one", PlanOptions(block_size=500.0))
    assert [block.cells for block in plan.city.blocks] == [((0, 0),)]
    assert plan.city.ground.level == 0


def test_the_picture_shows_borders_where_they_are(scene: Scene, city: City) -> None:
    picture = np.asarray(draw_plan(city, scene)).astype(int)
    dark = (np.abs(picture - BORDER).max(-1) < 12).sum(0)[MARGIN : MARGIN + SIZE]
    lines = np.flatnonzero(dark > 0.3 * SIZE)
    groups = np.split(lines, np.flatnonzero(np.diff(lines) > 5) + 1)
    middles = [float(group.mean()) for group in groups]
    # Four lines of three cells, evenly.
    assert len(middles) == 4
    np.testing.assert_allclose(np.diff(middles), np.mean(np.diff(middles)), atol=2.0)


def test_the_command_writes_a_plan_and_its_picture(
    district: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "town"
    monkeypatch.chdir(district.parent)
    words = ["city", "plan", "--data", district.name, "--out", str(out), "--block-size", "100"]
    assert main([*words[:4], "--out", str(tmp_path / "my town"), *words[6:]]) == 2
    assert "got 'my town', expected lower-case letters" in capsys.readouterr().err.replace("\n", " ")
    assert main(words) == 0
    printed = capsys.readouterr().out
    city = read_city(out)
    assert city.name == "town"
    assert city.data == str(district.resolve())
    assert str(out / "city.json") in printed
    assert [line.split()[:2] for line in printed.splitlines()[:4]] == [
        [block.id, str(len(block.photographs))] for block in city.blocks
    ]
    with Image.open(out / "plan.png") as picture:
        assert picture.width > 1000
    assert main(words) == 2
    assert "has a city; name another folder, or pass --overwrite" in capsys.readouterr().err
    assert main([*words[:-1], "200", "--overwrite"]) == 0
    assert json.loads((out / "city.json").read_text())["ground"]["level"] == 0
