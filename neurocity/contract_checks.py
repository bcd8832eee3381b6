"""The numbers of the contract's records, checked when a record is made: from a file, or by who writes one."""

import math
import re
from collections.abc import Sequence

from neurocity.errors import ManifestError

UNIT_TOLERANCE = 1e-3
"""How far a length may be from 1, and a product of axes from 0; records are written with rounded numbers."""
_SCENE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def require_finite(name: str, values: Sequence[float], count: int) -> None:
    """Raises ManifestError unless there are `count` finite numbers."""
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ManifestError(f"{name}: got {list(values)}, expected {count} finite numbers")


def require_box(name: str, bounds: Sequence[float]) -> None:
    """Raises ManifestError unless x0, y0, z0, x1, y1, z1 are a box with a volume."""
    require_finite(name, bounds, 6)
    if not all(low < high for low, high in zip(bounds[:3], bounds[3:], strict=True)):
        raise ManifestError(f"{name}: got {list(bounds)}, expected x0 < x1, y0 < y1 and z0 < z1")


def require_unit(name: str, vector: Sequence[float]) -> None:
    """Raises ManifestError unless it is a vector of length 1."""
    require_finite(name, vector, 3)
    if abs(math.hypot(*vector) - 1.0) > UNIT_TOLERANCE:
        raise ManifestError(f"{name}: got {list(vector)}, expected a vector of length 1")


def require_colour(name: str, colour: Sequence[float]) -> None:
    """Raises ManifestError unless it is red, green and blue in [0, 1]."""
    require_finite(name, colour, 3)
    if not all(0.0 <= value <= 1.0 for value in colour):
        raise ManifestError(f"{name}: got {list(colour)}, expected three numbers in [0, 1]")


def require_pose(name: str, rows: Sequence[Sequence[float]]) -> None:
    """Raises ManifestError unless the rows are those of a 4x4 rotation and translation."""
    if len(rows) != 4:
        raise ManifestError(f"{name}: got {len(rows)} rows, expected 4")
    for number, row in enumerate(rows):
        require_finite(f"{name}[{number}]", row, 4)
    if tuple(rows[3]) != (0.0, 0.0, 0.0, 1.0):
        raise ManifestError(f"{name}[3]: got {list(rows[3])}, expected [0, 0, 0, 1]")
    axes = [[row[axis] for row in rows[:3]] for axis in range(3)]
    for one in range(3):
        require_unit(f"{name}: axis {one}", axes[one])
        if abs(sum(a * b for a, b in zip(axes[one], axes[one - 1], strict=True))) > UNIT_TOLERANCE:
            raise ManifestError(f"{name}: axes {one} and {(one - 1) % 3} are not at right angles")


def require_least(name: str, value: float, least: float) -> None:
    """Raises ManifestError unless the number is finite and at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ManifestError(f"{name}: got {value!r}, expected a number of at least {least:g}")


def require_positive(name: str, value: float) -> None:
    """Raises ManifestError unless the number is finite and greater than 0."""
    if not (math.isfinite(value) and value > 0):
        raise ManifestError(f"{name}: got {value!r}, expected a number greater than 0")


def require_scene_name(name: str, value: str) -> None:
    """Raises ManifestError unless it is what a scene may be called, in URLs and folders."""
    if not _SCENE_NAME.fullmatch(value):
        raise ManifestError(
            f"{name}: got {value!r}, expected lower-case letters, digits, '_' and '-', "
            "beginning with a letter or a digit (such as 'lego')"
        )
