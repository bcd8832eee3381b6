"""Reader of the Blender synthetic layout (Mildenhall et al., NeRF, 2020): `transforms_{train,val,test}.json`.

Poses are camera-to-world with OpenGL axes, file names have no extension, `camera_angle_x` is the horizontal
field of view in radians. Files of that layout with other intrinsics (prepared MatrixCity) are read too.
"""

from pathlib import Path

from neurocity.data.bounds import declared_boxes
from neurocity.data.frames import read_frames, sparse_points, up_of
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Frame
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument
from neurocity.pose_files.intrinsics import has_own_calibration

LOOKS_FOR = "transforms_train.json (Blender synthetic)"

_FILES = {
    "train": ("transforms_train.json",),
    "val": (
        "transforms_val.json",
        "transforms_valid.json",
        "transforms_validation.json",
        "transforms_eval.json",
    ),
    "test": ("transforms_test.json",),
}
"""Names of the splits' files; the first that is there counts."""


def detect(root: Path) -> bool:
    """Whether any split file of this layout is in `root`."""
    return bool(_split_files(root))


def read(reading: Reading) -> Capture:
    """Raises DataError when the train split is missing (others may be) or a file is not as expected.

    A val or test split of which no image is there is left out, with a remark: add-ons of Blender write the
    poses of views that are yet to be rendered.
    """
    files = _split_files(reading.root)
    if "train" not in files:
        raise DataError(f"{reading.root}: transforms_train.json is missing, the other split files are there")
    others = sorted(path.name for path in reading.root.glob("transforms*.json") if path not in files.values())
    if others:
        reading.remark(
            f"{reading.root}: beside the files of splits, there is what is not read: {', '.join(others)}"
        )
    documents = {split: TransformsDocument.read(path) for split, path in files.items()}
    splits: dict[str, tuple[Frame, ...]] = {}
    for split, document in documents.items():
        frames = read_frames(document, reading, optional=split != "train")
        if frames:
            splits[split] = tuple(frames.values())
        else:
            reading.remark(
                f"{document.path}: its {len(document.frames)} poses are left out, no image is there"
            )
    train = documents["train"]
    synthetic = not any(map(has_own_calibration, documents.values()))
    bounds, inner_bounds = declared_boxes(train)
    return Capture(
        splits=splits,
        up=up_of(train),
        bounds=bounds,
        inner_bounds=inner_bounds,
        points=sparse_points(train, reading),
        synthetic=synthetic,
    )


def _split_files(root: Path) -> dict[str, Path]:
    files = {
        split: next((root / name for name in names if (root / name).is_file()), None)
        for split, names in _FILES.items()
    }
    return {split: path for split, path in files.items() if path is not None}
