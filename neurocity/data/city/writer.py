"""The files of a city: a nerfstudio dataset, written beside its target and moved there when complete."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh
from PIL import Image

from neurocity.data.city.camera_path import Shot
from neurocity.data.city.render import Photograph
from neurocity.errors import DataError

TRANSFORMS = "transforms.json"
POINTS = "sparse_points.ply"
GENERATOR = "neurocity demo-data"


def image_path(shot: Shot) -> str:
    """Where the picture of a view stands, relative to the dataset."""
    return f"images/{shot.name}.png"


def depth_path(shot: Shot) -> str:
    """Where the depth of a view stands, relative to the dataset."""
    return f"depths/{shot.name}.npy"


@contextmanager
def dataset_folder(out_dir: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out_dir` that takes its place when the block ends without an error.

    Raises DataError when `out_dir` is a file or holds anything; with `overwrite`, when what it holds was not
    written by `write_transforms`.
    """
    out_dir = out_dir.resolve()
    _check_target(out_dir, overwrite=overwrite)
    partial = out_dir.with_name(f".{out_dir.name}.partial-{os.getpid()}")
    (partial / "images").mkdir(parents=True)
    (partial / "depths").mkdir()
    try:
        yield partial
        if out_dir.exists():
            shutil.rmtree(out_dir)
        partial.rename(out_dir)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def _check_target(out_dir: Path, *, overwrite: bool) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise DataError(f"{out_dir}: got a file, expected a folder to write the dataset into")
    if not out_dir.exists() or not any(out_dir.iterdir()):
        return
    if not overwrite:
        raise DataError(f"{out_dir}: the folder is not empty; name another one, or pass overwrite")
    try:
        generator = json.loads((out_dir / TRANSFORMS).read_text()).get("generator")
    except (OSError, ValueError, AttributeError):
        generator = None
    if generator != GENERATOR:
        raise DataError(
            f"{out_dir}: overwrite replaces only a city written by `{GENERATOR}`, and this folder holds "
            "something else; name another one"
        )


def write_photograph(folder: Path, shot: Shot, photograph: Photograph) -> None:
    """`images/NAME.png` (8-bit sRGB) and `depths/NAME.npy` (float32 metres)."""
    Image.fromarray(photograph.image).save(folder / image_path(shot))
    np.save(folder / depth_path(shot), photograph.depth)


def write_points(folder: Path, points: npt.NDArray[np.float64], colors: npt.NDArray[np.uint8]) -> None:
    """`sparse_points.ply`: points [N, 3] in metres with colours [N, 3]."""
    trimesh.PointCloud(points, colors=colors).export(folder / POINTS)


def write_transforms(
    folder: Path, splits: dict[str, list[Shot]], *, aabb: tuple[list[float], list[float]], seed: int
) -> None:
    """`transforms.json` as nerfstudio reads it.

    Depth maps are z-depth in world units (metres) as float32 `.npy`, 0 for sky: `depth_unit_scale_factor` is
    1, where nerfstudio's default of 0.001 would mean millimetres, whose 16-bit files end at 65.5 m.
    """
    shots = sorted((shot for part in splits.values() for shot in part), key=lambda shot: shot.name)
    camera = shots[0].camera
    document: dict[str, Any] = {
        "generator": GENERATOR,
        "seed": seed,
        "camera_model": "PINHOLE",
        "w": camera.width,
        "h": camera.height,
        **{name: getattr(camera, name) for name in ("fl_x", "fl_y", "cx", "cy")},
        "aabb": aabb,
        "depth_unit_scale_factor": 1.0,
        "ply_file_path": POINTS,
        **{f"{split}_filenames": [image_path(shot) for shot in part] for split, part in splits.items()},
        "frames": [
            {
                "file_path": image_path(shot),
                "depth_file_path": depth_path(shot),
                "transform_matrix": shot.camera.camera_to_world.tolist(),
            }
            for shot in shots
        ],
    }
    (folder / TRANSFORMS).write_text(json.dumps(document, indent=1) + "\n")
