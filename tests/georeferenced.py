"""Copies of datasets that stand elsewhere in the world, as those from a survey do."""

import json
import shutil
from pathlib import Path

import numpy as np

OFFSET = np.array([500_000.0, 5_400_000.0, 0.0])
"""Easting and northing of a place in Central Europe, metres (UTM); the height stays."""

_STEP = 2.0**20
"""Positions are rounded to whole parts of this, so that float64 holds them at `OFFSET` to the last bit."""


def write_copy(source: Path, target: Path, offset: np.ndarray | tuple[float, ...] = OFFSET) -> Path:
    """A dataset with `transforms*.json`, moved by `offset`; the images are the same. Returns its folder."""
    shutil.copytree(source, target)
    for file in target.glob("transforms*.json"):
        document = json.loads(file.read_text())
        for frame in document["frames"]:
            pose = np.array(frame["transform_matrix"])
            pose[:3, 3] = np.round(pose[:3, 3] * _STEP) / _STEP + offset
            frame["transform_matrix"] = pose.tolist()
        if "aabb" in document:
            document["aabb"] = (np.array(document["aabb"]) + offset).tolist()
        file.write_text(json.dumps(document))
    return target
