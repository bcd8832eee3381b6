"""`neurocity data`: what was read, in numbers, in words and as a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_files import HEIGHT, WIDTH, frames, pose, write_blender, write_image, write_transforms
from PIL import Image

from neurocity.cli import main
from neurocity.commands.data import lines
from neurocity.data import sheet
from neurocity.data.drawing import draw_points
from neurocity.data.load import load_scene
from neurocity.data.sheet import draw_sheet
from neurocity.data.summary import summarise

UTM = np.array([500_000.0, 5_400_000.0, 0.0])


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Ten frames around zero, moved to UTM coordinates; one mask is black on its left."""
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, : WIDTH // 2] = 0
    write_image(tmp_path / "mask.png", mask)
    entries = frames()
    for index, entry in enumerate(entries):
        moved = pose(index)
        moved[:3, 3] += UTM
        entry["transform_matrix"] = moved.tolist()
    entries[1]["mask_path"] = "mask.png"
    entries[2] |= {"fl_x": 20.0, "fl_y": 11.0}
    return write_transforms(tmp_path, {"frames": entries})


def test_numbers_are_those_of_the_files_in_world_coordinates(masked: Path) -> None:
    summary = summarise(load_scene(masked))
    assert summary.layout == "transforms"
    assert {split: (each.frames, each.masks) for split, each in summary.splits.items()} == {
        "train": (8, 1),
        "val": (2, 0),
        "test": (2, 0),
    }
    assert summary.same_held_out
    (cameras,) = summary.cameras
    assert (cameras.frames, cameras.width, cameras.height, cameras.lens) == (10, WIDTH, HEIGHT, "PINHOLE")
    assert (cameras.fl_x, cameras.fl_y) == ((10.0, 20.0), (11.0, 11.0))
    places = np.stack([pose(index)[:3, 3] for index in range(10)]) + UTM
    np.testing.assert_allclose(summary.camera_bounds, [*places.min(0), *places.max(0)], atol=1e-6)
    low, high = np.split(np.array(summary.bounds), 2)
    assert (low < places.min(0)).all()
    assert (places.max(0) < high).all()
    assert summary.origin == (500_000.0, 5_400_000.0, 0.0)
    assert summary.points == 0


def test_words_say_it_and_what_was_guessed(masked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(masked)]) == 0
    printed = capsys.readouterr().out
    assert "8 train (1 with masks), 2 held out" in printed
    assert f"10 of {WIDTH}x{HEIGHT}, PINHOLE, fl_x 10 to 20, fl_y 11" in printed
    assert "origin     500000.000 5400000.000 0" in printed
    assert [line for line in printed.splitlines() if line.startswith("- ")], "the origin was chosen"


def test_json_is_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_blender(tmp_path)
    assert main(["data", str(root), "--json"]) == 0
    summary = summarise(load_scene(root))
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(summary.to_json()))
    assert "3 train (3 with alpha), 3 val (3 with alpha), 3 test (3 with alpha)" in "\n".join(lines(summary))


def test_bad_datasets_and_places_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(tmp_path)]) == 1
    assert "no dataset found" in capsys.readouterr().err
    root = write_blender(tmp_path)
    assert main(["data", str(root), "--picture", str(tmp_path / "no" / "sheet.png")]) == 1
    assert "sheet.png: the picture cannot be written" in capsys.readouterr().err
    assert main(["data", str(root), "--picture", str(tmp_path / "sheet.nothing")]) == 1
    assert "sheet.nothing: the picture cannot be written" in capsys.readouterr().err


def _nearby(picture: Image.Image, place: np.ndarray, color: sheet.Color, reach: int = 2) -> bool:
    column, row = place.round().astype(int)
    pixels = np.asarray(picture)[row - reach : row + reach + 1, column - reach : column + reach + 1]
    return bool((pixels == color).all(-1).any())


def test_frustums_stand_where_cameras_do_and_open_where_they_look(tmp_path: Path) -> None:
    scene = load_scene(write_transforms(tmp_path))
    picture = draw_sheet(scene)
    low, high = np.split(np.array(scene.bounds), 2)
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    cameras = [frame.camera for frame in sheet.all_frames(scene)]
    extent = np.concatenate([corners, [camera.position for camera in cameras]])
    middle = 0.5 * (extent.min(0) + extent.max(0))
    reach = np.abs(extent - middle)[:, :2].max()
    scale = 0.44 * sheet.PANEL / reach
    for split, color in (("train", sheet.TRAINED_ON), ("test", sheet.HELD_OUT)):
        for camera in (frame.camera for frame in scene.splits[split]):
            eye = (camera.position - middle)[:2] * (scale, -scale) + 0.5 * sheet.PANEL
            eye += (sheet.MARGIN, sheet.HEADING)
            assert _nearby(picture, eye, color)
            looks = -camera.camera_to_world[:2, 2] * (1, -1)
            assert not _nearby(picture, eye - 10 * looks / np.linalg.norm(looks), color)


def test_masked_pixels_are_red_and_thumbnails_are_upright(masked: Path) -> None:
    scene = load_scene(masked)
    (frame,) = [frame for frame in scene.splits["train"] if frame.mask_path is not None]
    thumbnail = np.asarray(sheet._thumbnail(frame, sheet.HELD_OUT)).astype(int)
    (rows,), (columns,) = (np.nonzero((thumbnail == sheet.HELD_OUT).all(-1).any(axis)) for axis in (1, 0))
    inner = thumbnail[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2]
    assert inner.shape == (HEIGHT, WIDTH, 3)
    expected = frame.load_image()[..., :3].astype(int)
    np.testing.assert_array_equal(inner[:, WIDTH // 2 :], expected[:, WIDTH // 2 :])
    reddened = 0.4 * expected[:, : WIDTH // 2] + 0.6 * np.array(sheet.MASKED)
    np.testing.assert_allclose(inner[:, : WIDTH // 2], reddened, atol=1)


def test_points_are_drawn_the_darker_the_more_there_are() -> None:
    panel = Image.new("RGB", (sheet.PANEL, sheet.PANEL), sheet.PAPER)
    draw_points(panel, np.array([[10.2, 20.7], [30.0, 40.0], [30.0, 40.0], [-1.0, 5.0]]))
    gray = np.asarray(panel)[..., 0]
    assert gray[40, 30] < gray[20, 10] < 255
    assert (gray < 255).sum() == 2


def test_at_most_so_many_photographs_are_shown_evenly() -> None:
    assert sheet._spread(3, 16) == [0, 1, 2]
    assert sheet._spread(100, 4) == [0, 33, 66, 99]
