"""Writes tiny datasets for the tests of readers: images of 12x8 pixels and the files that pose them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurocity.data.load import load_scene
from neurocity.data.scene import Frame, Scene
from neurocity.errors import DataError
from neurocity.poses import look_at

WIDTH, HEIGHT = 12, 8
INTRINSICS = {"w": WIDTH, "h": HEIGHT, "fl_x": 10.0, "fl_y": 11.0, "cx": 6.5, "cy": 3.75}


def pose(index: int = 0) -> np.ndarray:
    """Camera-to-world of camera `index` on a ring of ten around the origin, OpenGL axes."""
    angle = 2.0 * np.pi * index / 10.0
    return look_at((4.0 * np.cos(angle), 4.0 * np.sin(angle), 1.5), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def pixels(index: int = 0, channels: int = 3, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Reproducible noise, uint8 [H, W, channels]."""
    return np.random.default_rng(index).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)


def write_image(path: Path, array: np.ndarray | None = None) -> Path:
    """`array` (noise by default) as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels() if array is None else array).save(path)
    return path


def frames(count: int = 10, folder: str = "images", extension: str = ".png") -> list[dict[str, Any]]:
    """Entries of `frames` in a transforms.json."""
    return [
        {"file_path": f"{folder}/{i:03}{extension}", "transform_matrix": pose(i).tolist()}
        for i in range(count)
    ]


def write_transforms(root: Path, document: dict[str, Any] | None = None, *, channels: int = 3) -> Path:
    """transforms.json with ten frames and `INTRINSICS`, overridden by `document`; writes its images too.

    A value of None removes the key.
    """
    data = {**INTRINSICS, "frames": frames(), **(document or {})}
    data = {key: value for key, value in data.items() if value is not None}
    for i, frame in enumerate(data["frames"]):
        write_image(root / frame["file_path"], pixels(i, channels))
    (root / "transforms.json").write_text(json.dumps(data))
    return root


def write_blender(
    root: Path,
    splits: tuple[str, ...] = ("train", "val", "test"),
    channels: int = 4,
    *,
    angle: float = 0.8,
) -> Path:
    """The Blender synthetic layout with three frames in each split, `angle` radians wide."""
    for k, split in enumerate(splits):
        entries = frames(3, f"./{split}", "")
        for i, frame in enumerate(entries):
            frame["transform_matrix"] = pose(3 * k + i).tolist()
            write_image(root / f"{frame['file_path']}.png", pixels(10 * k + i, channels))
        (root / f"transforms_{split}.json").write_text(
            json.dumps({"camera_angle_x": angle, "frames": entries})
        )
    return root


CAPTURE_SIZE = (48, 36)
"""Width and height of the photographs of `write_capture` and `write_colmap`."""

CAPTURE = {"w": 48, "h": 36, "fl_x": 40.0, "fl_y": 40.5, "cx": 24.5, "cy": 17.5}


def write_photographs(
    root: Path, names: list[str], size: tuple[int, int] = CAPTURE_SIZE, channels: int = 3
) -> None:
    """Photograph i, under the i-th name, is `pixels(i, channels, size)`."""
    for i, name in enumerate(names):
        write_image(root / name, pixels(i, channels, size))


def write_capture(
    root: Path, document: dict[str, Any] | None = None, *, file: str = "transforms.json", count: int = 12
) -> Path:
    """transforms.json with frames images/0000.png, ... and the intrinsics of `CAPTURE`; no photographs.

    `document` overrides; a value of None removes the key.
    """
    entries = [
        {"file_path": f"images/{i:04}.png", "transform_matrix": pose(i).tolist()} for i in range(count)
    ]
    data = {**CAPTURE, "frames": entries, **(document or {})}
    root.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    return root


def named(names: list[str], **values: Any) -> list[dict[str, Any]]:
    """Entries of `frames` with these names, and `values` in each (called with the index if callable)."""
    return [
        {
            "file_path": name,
            "transform_matrix": pose(i).tolist(),
            **{key: value(i) if callable(value) else value for key, value in values.items()},
        }
        for i, name in enumerate(names)
    ]


def numbered(folder: str = "images", extension: str = ".png", count: int = 12) -> list[str]:
    """images/0000.png, images/0001.png, ..."""
    return [f"{folder}/{i:04}{extension}" for i in range(count)]


def colmap_center(index: int) -> np.ndarray:
    """The centre of camera `index` of `write_colmap`, whose axes are those of the world."""
    return np.array([0.5 * index, 0.25 * (index % 3), -3.0])


def write_colmap(
    root: Path,
    names: list[str],
    camera: str = "PINHOLE 48 36 40 40.5 24.5 17.5",
    *,
    folder: str = "sparse/0",
    encoding: str = "utf-8",
    points: int | None = 0,
) -> Path:
    """A text model by hand: image i has the i-th name and its centre at `colmap_center(i)`; no photographs.

    `points` None writes no points3D.txt.
    """
    target = root / folder
    target.mkdir(parents=True, exist_ok=True)
    (target / "cameras.txt").write_text(f"# one camera\n0 {camera}\n")
    lines = []
    for i, name in enumerate(names):
        x, y, z = -colmap_center(i)
        lines += [f"{i} 1 0 0 0 {x} {y} {z} 0 {name}", ""]
    (target / "images.txt").write_bytes(("\n".join(lines) + "\n").encode(encoding, "surrogateescape"))
    if points is not None:
        rows = [f"{i} {0.1 * i} {0.2 * i} {0.3 * i} 0 0 0 1.0" for i in range(points)]
        (target / "points3D.txt").write_text("".join(f"{row}\n" for row in rows))
    return root


def all_frames(scene: Scene) -> dict[str, Frame]:
    """The frames of all splits by name."""
    return {frame.name: frame for frames in scene.splits.values() for frame in frames}


def check_pixels(scene: Scene, count: int = 12, size: tuple[int, int] = CAPTURE_SIZE) -> None:
    """That each frame's image is the one that was written for its pose, which the name's number tells."""
    frames = all_frames(scene)
    assert len(frames) == count
    for name, frame in frames.items():
        index = int(re.findall(r"\d{4}", name)[-1])
        np.testing.assert_array_equal(frame.load_image()[..., :3], pixels(index, 3, size))


def loading_error(root: Path, **options: Any) -> str:
    """The message with which a dataset is refused."""
    with pytest.raises(DataError) as caught:
        load_scene(root, **options)
    return str(caught.value)
