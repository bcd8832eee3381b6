"""Gaussians as a PLY file with the properties, and in the order, of 3D Gaussian Splatting's own.

Opacities are logits, deviations logarithms, three equal ones; rotations are those that turn nothing, normals
zero. Of colours' coefficients `f_dc` are the constants, and `f_rest` the others, channel after channel.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from export.splat.gaussians import Gaussians
from neurocity.errors import ManifestError

_END: Final = b"end_header\n"
_LARGEST_HEADER: Final = 1 << 16
_HARMONICS: Final = (0, 3, 8, 15)
"""Coefficients of a channel beside the constant, by degree."""


def properties(harmonics: int) -> dict[str, tuple[str, ...]]:
    """Names of a Gaussian's numbers in their order, by what they are; harmonics: of a channel."""
    return {
        "center": ("x", "y", "z"),
        "normal": ("nx", "ny", "nz"),
        "constant": tuple(f"f_dc_{index}" for index in range(3)),
        "harmonics": tuple(f"f_rest_{index}" for index in range(3 * harmonics)),
        "opacity": ("opacity",),
        "scale": tuple(f"scale_{index}" for index in range(3)),
        "rotation": tuple(f"rot_{index}" for index in range(4)),
    }


def write_ply(gaussians: Gaussians, comments: tuple[str, ...]) -> bytes:
    """The file, binary and little-endian; equal Gaussians give equal bytes. comments: lines of the header."""
    count, harmonics = len(gaussians), gaussians.colours.shape[1] - 1
    opacity = gaussians.opacities.astype(np.float64)
    columns = {
        "center": gaussians.centers,
        "normal": np.zeros((count, 3)),
        "constant": gaussians.colours[:, 0],
        "harmonics": gaussians.colours[:, 1:].transpose(0, 2, 1).reshape(count, 3 * harmonics),
        "opacity": (np.log(opacity) - np.log1p(-np.minimum(opacity, _MOST_OPACITY)))[:, None],
        "scale": np.log(gaussians.deviations)[:, None].repeat(3, axis=1),
        "rotation": np.eye(1, 4).repeat(count, axis=0),
    }
    names = properties(harmonics)
    values = np.concatenate([columns[kind] for kind in names], axis=1, dtype="<f4", casting="same_kind")
    return _header(count, harmonics, comments) + values.tobytes()


_MOST_OPACITY: Final = 1.0 - 2.0**-24
"""The largest that has a logit in float32."""


def read_ply(content: bytes, where: str) -> tuple[Gaussians, tuple[str, ...]]:
    """Inverse of `write_ply`. Raises ManifestError, naming `where`, when it is another file."""
    begin = content.find(_END, 0, _LARGEST_HEADER) + len(_END)
    header = content[:begin].decode("utf-8", "replace")
    comments = tuple(re.findall(r"^comment (.*)$", header, re.MULTILINE))
    counted = re.search(r"^element vertex (\d{1,12})$", header, re.MULTILINE)
    numbers = len(re.findall(r"^property ", header, re.MULTILINE))
    harmonics = {sum(map(len, properties(each).values())): each for each in _HARMONICS}.get(numbers)
    if (
        counted is None
        or harmonics is None
        or content[:begin] != _header(count := int(counted[1]), harmonics, comments)
    ):
        raise ManifestError(
            f"{where}: expected a binary PLY file with the properties of 3D Gaussian Splatting, as this "
            "release writes it; export the scene again"
        )
    if len(content) - begin != 4 * count * numbers:
        raise ManifestError(
            f"{where}: got {len(content) - begin} bytes behind its header, expected {4 * count * numbers}"
        )
    values = np.frombuffer(content, "<f4", offset=begin).reshape(count, numbers).astype(np.float32)
    ends = np.cumsum([len(names) for names in properties(harmonics).values()])[:-1]
    center, normal, constant, rest, opacity, scale, rotation = np.split(values, ends, axis=1)
    if normal.any() or (scale != scale[:, :1]).any() or (rotation != np.eye(1, 4)).any():
        raise ManifestError(f"{where}: has Gaussians that are not round; export the scene again")
    shs = rest.reshape(count, 3, harmonics).transpose(0, 2, 1)
    found = Gaussians(
        centers=center,
        deviations=np.exp(scale[:, 0]),
        opacities=_sigmoid(opacity[:, 0]),
        colours=np.concatenate([constant[:, None], shs], axis=1),
    )
    return found, comments


def _header(count: int, harmonics: int, comments: tuple[str, ...]) -> bytes:
    names = (name for names in properties(harmonics).values() for name in names)
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {comment}" for comment in comments),
        f"element vertex {count}",
        *(f"property float {name}" for name in names),
    ]
    return "".join(f"{line}\n" for line in lines).encode() + _END


def _sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
