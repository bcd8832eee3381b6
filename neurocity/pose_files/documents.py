"""JSON files of poses (`transforms*.json`), parsed; errors name the file and the frame.

A value may stand at top level, for all frames, or in every frame. Where both say it the frame's counts, as in
instant-ngp: cameras with autofocus write the first frame's at top level, and each frame its own.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.errors import DataError
from neurocity.pose_files.json_file import read_json
from neurocity.pose_files.text import printable

_ALL_OR_NONE = (
    *("w", "h", "fl_x", "fl_y", "x_fov", "y_fov", "camera_angle_x", "camera_angle_y", "cx", "cy"),
    *("fx", "fy", "K", "camera_model"),
)

Remark = Callable[[str, str], None]
"""Takes what is to be said of a frame, and an example."""

_LARGEST = sys.float_info.max

_LAST_ROW = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class TransformsDocument:
    """One JSON file of poses; `frames` stand in the file's order."""

    path: Path
    data: dict[str, Any]
    frames: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> "TransformsDocument":
        """Raises DataError when `path` is not JSON, has no frames, or frames without or with equal names."""
        document = cls.parse(read_json(path), path)
        for i, frame in enumerate(document.frames):
            if not isinstance(frame.get("file_path"), str):
                raise DataError(f"{path}: frame {i} has no `file_path`")
        name, count = Counter(frame["file_path"] for frame in document.frames).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}: frame {name!r} stands there {count} times")
        return document

    @classmethod
    def parse(cls, data: Any, path: Path) -> "TransformsDocument":
        """The document of a JSON value, whose frames need no names. Raises DataError, which names `path`."""
        frames = data.get("frames") if isinstance(data, dict) else None
        if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
            raise DataError(f"{path}: expected an object with a list `frames` of objects")
        if not frames:
            raise DataError(f"{path}: `frames` is empty")
        document = cls(path, data, tuple(frames))
        document._check_every_frame_has()
        return document

    def label(self, frame: dict[str, Any]) -> str:
        """How an error names a frame: the file, and `file_path` or, without one, the number from 0."""
        return f"{self.path}: frame {self._name(frame)}"

    def _name(self, frame: dict[str, Any]) -> str:
        name = frame.get("file_path")
        if isinstance(name, str):
            return repr(printable(name))
        return str(next(i for i, other in enumerate(self.frames) if other is frame))

    def get(self, key: str, frame: dict[str, Any]) -> Any:
        """The value of `key` for `frame`, its own or else that of the top level, or None.

        Neither this nor what follows says which frame it is: `read_frames` does, with `label`.
        """
        own = frame.get(key)
        return self.data.get(key) if own is None else own

    def number(self, key: str, frame: dict[str, Any]) -> float | None:
        """`get` for a finite number. Raises DataError when it is something else."""
        return self.number_in(key, {key: self.get(key, frame)})

    @staticmethod
    def number_in(key: str, level: dict[str, Any]) -> float | None:
        """The finite number `key` of a frame or of the top level, or None. Raises DataError as `number`."""
        value = level.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            raise DataError(f"`{key}` is {value!r}, expected a finite number")
        return float(value)

    def numbers(self, key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        """The top-level array of `key`, or None. Raises DataError when shape or values are something else."""
        value = self.data.get(key)
        return None if value is None else self.array(f"{self.path}: `{key}`", value, shape)

    def pose(self, frame: dict[str, Any], remark: Remark) -> npt.NDArray[np.float64]:
        """`transform_matrix` as 4x4 with [0, 0, 0, 1] as its last row; a 3x4 gets it.

        Where the last row is [0, 0, 0, w], which instant-ngp does not look at, it is replaced, and `remark`
        is told; a rotation that is scaled by w as well is divided by it. Raises DataError without a pose.
        """
        value = frame.get("transform_matrix")
        if value is None:
            raw = "; `rot_mat` (raw MatrixCity) is read where every frame has it"
            raise DataError(f"has no pose, expected `transform_matrix`{raw * ('rot_mat' in frame)}")
        if isinstance(value, list) and len(value) == 3:
            return np.vstack([self.array("`transform_matrix`", value, (3, 4)), _LAST_ROW])
        pose = self.array("`transform_matrix`", value, (4, 4))
        last = pose[3, 3]
        if not pose[3, :3].any() and np.isfinite(last) and abs(last - 1.0) > 1e-3:
            homogeneous = bool(
                np.allclose(np.linalg.norm(pose[:3, :3], axis=0), abs(last), rtol=1e-3, atol=0.0)
                and np.linalg.det(pose[:3, :3]) * last > 0
            )
            remark(
                "poses end in a row that is not [0, 0, 0, 1]; "
                + (
                    "they are divided by its last number" if homogeneous else "the other three rows are taken"
                ),
                f"{pose[3].tolist()} of {self._name(frame)}",
            )
            return np.vstack([pose[:3] / last if homogeneous else pose[:3], _LAST_ROW])
        return pose

    @staticmethod
    def array(label: str, value: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """JSON lists as a float array of `shape`. Raises DataError, which starts with `label`."""
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{label} is {value!r}, expected numbers of shape {shape}") from None
        if array.shape != shape:
            raise DataError(f"{label} has shape {array.shape}, expected {shape}")
        return array

    def _check_every_frame_has(self) -> None:
        for key in _ALL_OR_NONE:
            having = sum(frame.get(key) is not None for frame in self.frames)
            if 0 < having < len(self.frames) and self.data.get(key) is None:
                without = next(frame for frame in self.frames if frame.get(key) is None)
                raise DataError(
                    f"{self.label(without)}: has no `{key}`, but {having} of {len(self.frames)} frames have; "
                    "give it in every frame, or once at top level"
                )
