"""Reader of MatrixCity as it is published (Li et al., MatrixCity, ICCV 2023): a `transforms.json` a block.

A frame has `rot_mat`, camera-to-world with OpenGL axes, whose rotation is scaled by 1/100 and whose position
is in metres, and `frame_index`, the number in its image's name. Coordinates stay in metres. The files in the
dataset's `pose` folders have `transform_matrix`, in units of 100 m: they are read as Blender synthetic.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurocity.data.frames import read_frames
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Frame
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument
from neurocity.pose_files.json_file import read_json

LOOKS_FOR = "transforms.json with `rot_mat`, in the folder or in those of its blocks (MatrixCity)"

_ALL_POSES = "transforms_origin.json"
"""Poses of all images, also of those that look out of the map; transforms.json beside it has the others."""

_FOLDERS = ("train", "test")
"""Where the blocks of a city's aerial or street views stand, if not in the folder itself."""

_IMAGES = ("rgb", "images", "input")
"""Where a block's images may stand, if not beside its file."""

_SHRUNK = 0.01


def detect(root: Path) -> bool:
    """Whether `root` is a block, or has blocks and no file of poses of its own."""
    return bool(_files(root))


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and frame, when a file is missing or not as expected.

    Blocks in `test`, and files and folders whose names end in `_test`, are held out; with no such block, or
    no other, every eighth frame is. A block of which no image is there is left out, with a remark: the
    poses of all blocks come with the dataset, images are fetched by block.
    """
    root = reading.root
    train: list[Frame] = []
    test: list[Frame] = []
    files = _files(root)
    for path in files:
        frames = _frames(path, reading, optional=len(files) > 1)
        if not frames:
            reading.remark(f"{path}: this block is left out, none of its images is there")
        place = path.relative_to(root)
        held_out = (
            place.parts[0] == "test" or place.parent.name.endswith("_test") or path.stem.endswith("_test")
        )
        (test if held_out else train).extend(frames)
    if (root / "train_dense").is_dir():
        reading.remark("`train_dense` is not read beside `train`; give its folder to train on it")
    if not train and not test:
        raise DataError(f"{root}: no image is there of {len(files)} blocks; unpack the archives of images")
    splits = {"train": tuple(train), "test": tuple(test)} if train else {"train": tuple(test)}
    return Capture(splits=splits, up=(0.0, 0.0, 1.0))


def _files(root: Path) -> list[Path]:
    """The files of poses, sorted; those in `root` alone where it has any, and none if one is not raw."""
    if own := sorted(root.glob("transforms*.json")):
        return _without_all_poses(own) if all(map(_is_raw, own)) else []
    parents = [root, *(root / name for name in _FOLDERS if (root / name).is_dir())]
    blocks = sorted({path.parent for parent in parents for path in parent.glob("*/transforms*.json")})
    return [
        path
        for block in blocks
        for path in _without_all_poses(sorted(block.glob("transforms*.json")))
        if _is_raw(path)
    ]


def _without_all_poses(files: list[Path]) -> list[Path]:
    return [path for path in files if path.name != _ALL_POSES or len(files) == 1]


def _is_raw(path: Path) -> bool:
    content = path.read_bytes() if path.is_file() else b""
    return b'"rot_mat"' in content and b'"transform_matrix"' not in content


def _frames(path: Path, reading: Reading, *, optional: bool) -> list[Frame]:
    """The frames of one file, their names with the path of its folder from the root."""
    data = read_json(path)
    entries = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected an object with a list `frames` of objects")
    folder = next((f"{name}/" for name in _IMAGES if (path.parent / name).is_dir()), "")
    frames = tuple(_converted(path, i, entry, folder) for i, entry in enumerate(entries))
    name, count = Counter(frame["file_path"] for frame in frames).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: image {name!r} stands there {count} times")
    block = path.parent.relative_to(reading.root)
    document = TransformsDocument(path, data, frames)
    return [
        replace(frame, name=(block / frame.name).as_posix())
        for frame in read_frames(document, reading, optional=optional).values()
    ]


def _converted(path: Path, index: int, entry: dict[str, Any], folder: str) -> dict[str, Any]:
    """A frame as in other transforms.json: with `file_path`, and a `transform_matrix` of unit axes."""
    label = f"{path}: frame {index}"
    name, number = entry.get("file_path"), entry.get("frame_index")
    if name is None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise DataError(f"{label}: `frame_index` is {number!r}, expected the number of its image")
        name = f"{folder}{number:04}"
    if "rot_mat" not in entry:
        raise DataError(f"{label} ({name}): has no `rot_mat`, but others have")
    pose = TransformsDocument.array(f"{label} ({name}): `rot_mat`", entry["rot_mat"], (4, 4))
    pose[3] = (0.0, 0.0, 0.0, 1.0)  # the last row is padding, whatever it holds
    if np.allclose(np.linalg.norm(pose[:3, :3], axis=0), _SHRUNK, rtol=1e-2):
        pose[:3, :3] /= _SHRUNK
    return {"file_path": name, "transform_matrix": pose.tolist()}
