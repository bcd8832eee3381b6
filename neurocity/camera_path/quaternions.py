"""Rotations as unit quaternions (w, x, y, z) [N, 4], and curves among them.

q and -q are one rotation; `aligned` takes those of a sequence that lie next to each other.
"""

import numpy as np
import numpy.typing as npt

from neurocity.camera_path.splines import Space

Array = npt.NDArray[np.float64]

_SMALL = 1e-9
"""Angles below are taken for zero where they are divided by."""


def quaternions(rotations: Array) -> Array:
    """The quaternions [N, 4] of rotation matrices [N, 3, 3] (Markley 2008: of four forms, the largest)."""
    r = rotations
    trace = r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2]
    forms = np.empty((len(r), 4, 4))
    forms[:, 0, 0] = 1.0 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        forms[:, 0, 1 + i] = forms[:, 1 + i, 0] = r[:, k, j] - r[:, j, k]
        forms[:, 1 + i, 1 + i] = 1.0 - trace + 2.0 * r[:, i, i]
        forms[:, 1 + i, 1 + j] = forms[:, 1 + j, 1 + i] = r[:, i, j] + r[:, j, i]
    lengths = np.linalg.norm(forms, axis=-1)
    best = lengths.argmax(-1)
    rows = np.arange(len(r))
    found: Array = forms[rows, best] / lengths[rows, best, None]
    return found


def matrices(quaternions: Array) -> Array:
    """The rotation matrices [N, 3, 3] of quaternions [N, 4]."""
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def normalised(quaternions: Array) -> Array:
    """Quaternions [N, 4] of length 1."""
    scaled: Array = quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return scaled


def aligned(quaternions: Array) -> Array:
    """The same rotations, each with the sign that is nearer to the one before."""
    turns = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0.0, -1.0, 1.0)
    return quaternions * np.concatenate([[1.0], np.cumprod(turns)])[:, None]


def multiply(a: Array, b: Array) -> Array:
    """Hamilton's product [N, 4]: the rotation b, and then a."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def _turn(start: Array, end: Array) -> Array:
    """Half the rotation vector [N, 3] of the shorter way from one rotation to another, in world axes."""
    between = multiply(end, start * (1.0, -1.0, -1.0, -1.0))
    between = between * np.where(between[..., :1] < 0.0, -1.0, 1.0)
    length = np.linalg.norm(between[..., 1:], axis=-1, keepdims=True)
    angle = np.arctan2(length, between[..., :1])
    turn: Array = between[..., 1:] * np.where(length > _SMALL, angle / np.maximum(length, _SMALL), 1.0)
    return turn


def _turned(start: Array, turn: Array) -> Array:
    """Rotations after a turn; the inverse of `_turn`."""
    angle = np.linalg.norm(turn, axis=-1, keepdims=True)
    sine = np.where(angle > _SMALL, np.sin(angle) / np.maximum(angle, _SMALL), 1.0)
    return normalised(multiply(np.concatenate([np.cos(angle), sine * turn], -1), start))


SPHERE = Space(difference=_turn, moved=_turned)
"""Rotations, between which one goes along great circles (slerp)."""
