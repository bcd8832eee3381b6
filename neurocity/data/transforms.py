"""Reader of `transforms.json` as nerfstudio and instant-ngp write it.

Coordinates are the file's own: nerfstudio's `applied_transform` and `applied_scale` say how they came from
COLMAP's and are not undone, and neither is centred or scaled as these programs do when they train.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from neurocity.data.bounds import declared_boxes
from neurocity.data.frames import read_frames, sparse_points, up_of
from neurocity.data.names import plain_name
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Frame, Splits
from neurocity.errors import DataError
from neurocity.pose_files.documents import TransformsDocument

FILE = "transforms.json"
LOOKS_FOR = f"{FILE} (nerfstudio, instant-ngp)"


def detect(root: Path) -> bool:
    """Whether `root` has a file of this layout."""
    return (root / FILE).is_file()


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and frame, when a file is missing or not as expected."""
    document = TransformsDocument.read(reading.root / FILE)
    _remark_on_what_is_not_read(document, reading)
    frames = read_frames(document, reading)
    bounds, inner_bounds = declared_boxes(document)
    return Capture(
        splits=_listed_splits(document, frames, reading),
        up=up_of(document),
        bounds=bounds,
        inner_bounds=inner_bounds,
        points=sparse_points(document, reading),
    )


def _listed_splits(document: TransformsDocument, frames: Mapping[str, Frame], reading: Reading) -> Splits:
    """The splits of `train_filenames`, `val_filenames`, `test_filenames`; all is "train" when there are none.

    Without `train_filenames`, what is in no list is trained on; beside it, that is left out, with a remark.
    """
    ordered = dict(sorted(frames.items()))
    known = _by_name([entry["file_path"] for entry in document.frames])
    splits: dict[str, tuple[Frame, ...]] = {}
    listed: dict[str, str] = {}
    for split in ("train", "val", "test"):
        names = document.data.get(f"{split}_filenames")
        if names is None or names == []:
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{document.path}: `{split}_filenames` is {names!r}, expected a list of names")
        if unknown := sorted(name for name in names if plain_name(name) not in known):
            raise DataError(
                f"{document.path}: `{split}_filenames` names {unknown[0]!r}, which is not among `frames`"
            )
        chosen = {known[plain_name(name)] for name in names}
        if split != "train" and (shared := sorted(name for name in chosen if listed.get(name) == "train")):
            reading.remark(
                f"{document.path}: {len(shared)} frames of `{split}_filenames` are trained on, too"
            )
        listed |= dict.fromkeys(chosen, split)
        splits[split] = tuple(frame for name, frame in ordered.items() if name in chosen)
    rest = tuple(frame for name, frame in ordered.items() if name not in listed)
    if "train" not in splits:
        return {"train": rest, **splits}
    if rest:
        reading.remark(
            f"{document.path}: {len(rest)} of {len(frames)} frames are in no list, and are left out"
        )
    return splits


def _remark_on_what_is_not_read(document: TransformsDocument, reading: Reading) -> None:
    read = ("frames", "train_filenames", "val_filenames", "test_filenames")
    for key, value in document.data.items():
        if key.endswith(("_filenames", "_frames")) and key not in read and isinstance(value, list) and value:
            reading.remark(f"{document.path}: `{key}` is not read; read are {', '.join(read)}")
    if others := sorted(path.name for path in reading.root.glob("transforms_*.json")):
        reading.remark(f"{reading.root}: beside {FILE}, there is what is not read: {', '.join(others)}")


def _by_name(file_paths: Sequence[str]) -> dict[str, str]:
    """Each `file_path` by itself with slashes and, where only one file is called so, by the file's name."""
    last = {path: plain_name(path).rpartition("/")[2] for path in file_paths}
    times = Counter(last.values())
    alone = {name: path for path, name in last.items() if times[name] == 1}
    return alone | {plain_name(path): path for path in file_paths}
