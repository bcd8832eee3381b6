"""JSON files of poses (`transforms*.json`), parsed; errors name the file and the frame.

A value may stand at top level, for all frames, or in every frame. nerfstudio lets the top level win and
instant-ngp the frame, so two different values for one frame are an error here.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.errors import DataError

_ALL_OR_NONE = (
    *("w", "h", "fl_x", "fl_y", "x_fov", "y_fov", "camera_angle_x", "camera_angle_y", "cx", "cy"),
    "camera_model",
    "mask_path",
)


@dataclass(frozen=True)
class TransformsDocument:
    """One JSON file of poses; `frames` stand in the file's order."""

    path: Path
    data: dict[str, Any]
    frames: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> "TransformsDocument":
        """Raises DataError when `path` is not JSON, has no frames, or frames without or with equal names."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        frames = data.get("frames") if isinstance(data, dict) else None
        if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
            raise DataError(f"{path}: expected an object with a list `frames` of objects")
        if not frames:
            raise DataError(f"{path}: `frames` is empty")
        for i, frame in enumerate(frames):
            if not isinstance(frame.get("file_path"), str):
                raise DataError(f"{path}: frame {i} has no `file_path`")
        name, count = Counter(frame["file_path"] for frame in frames).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}: frame {name!r} stands there {count} times")
        document = cls(path, data, tuple(frames))
        document._check_every_frame_has()
        return document

    def label(self, frame: dict[str, Any]) -> str:
        """How an error names a frame: file and `file_path`."""
        return f"{self.path}: frame {frame['file_path']!r}"

    def get(self, key: str, frame: dict[str, Any]) -> Any:
        """The value of `key` for `frame`, or None. Raises DataError when top level and frame disagree.

        Neither this nor what follows says which frame it is: `read_frames` does, with `label`.
        """
        shared, own = self.data.get(key), frame.get(key)
        if shared is not None and own is not None and shared != own:
            raise DataError(
                f"`{key}` is {own!r} here and {shared!r} at top level; programs "
                "disagree on which one counts, so remove one of them"
            )
        return shared if own is None else own

    def number(self, key: str, frame: dict[str, Any]) -> float | None:
        """`get` for a finite number. Raises DataError when it is something else."""
        value = self.get(key, frame)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"`{key}` is {value!r}, expected a finite number")
        return float(value)

    def numbers(self, key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        """The top-level array of `key`, or None. Raises DataError when shape or values are something else."""
        value = self.data.get(key)
        return None if value is None else self.array(f"{self.path}: `{key}`", value, shape)

    def pose(self, frame: dict[str, Any]) -> npt.NDArray[np.float64]:
        """`transform_matrix` as 4x4; a 3x4 gets its last row. Raises DataError when there is none."""
        value = frame.get("transform_matrix")
        if value is None:
            raw = "; `rot_mat` (raw MatrixCity) is read where every frame has it"
            raise DataError(f"has no pose, expected `transform_matrix`{raw * ('rot_mat' in frame)}")
        if isinstance(value, list) and len(value) == 3:
            return np.vstack([self.array("`transform_matrix`", value, (3, 4)), (0.0, 0.0, 0.0, 1.0)])
        return self.array("`transform_matrix`", value, (4, 4))

    @staticmethod
    def array(label: str, value: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """JSON lists as a float array of `shape`. Raises DataError, which starts with `label`."""
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
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
