"""Writes tiny datasets for the tests of readers: images of 12x8 pixels and the files that pose them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neurocity.cameras import look_at

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
