"""Checks of what a file says of a scene, before a kernel reads it."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from neurocity.errors import ManifestError
from neurocity.kernels.scene import SceneData

HARMONICS: Final = 16
SKY_WEIGHTS: Final = 32 * HARMONICS + 3 * 32
FARTHEST: Final = 1e18
"""Of coordinates and lengths, so that sums and products of two are finite in float32."""

Bounds = Mapping[str, tuple[float, float]]
"""The least and the most that each number may be."""


def check_settings(data: SceneData, bounds: Bounds, whole: Bounds) -> None:
    """Raise ManifestError unless the settings are exactly those of both, within them.

    whole: of those that are whole numbers.
    """
    expected = {**bounds, **whole}
    if set(data.settings) != set(expected):
        raise ManifestError(
            f"{data.kind}: got the numbers {sorted(data.settings)}, expected {sorted(expected)}"
        )
    for name, (least, most) in expected.items():
        value = data.settings[name]
        if not least <= value <= most or (name in whole and value != int(value)):
            raise ManifestError(f"{data.kind}: got {name} {value}, expected {least} to {most}")


def tensor(data: SceneData, name: str, dtypes: tuple[type, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The array of that name as kernels read it: contiguous, at a multiple of its numbers' size.

    dtypes: of which it has one. shape: -1 for any length. Raises ManifestError.
    """
    array = data.tensors.get(name)
    if array is None:
        raise ManifestError(f"{data.kind}: {name} is missing, got the tensors {sorted(data.tensors)}")
    fits = array.ndim == len(shape) and all(
        wanted in (-1, got) for got, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype not in dtypes or not fits or not (array.flags.c_contiguous and array.flags.aligned):
        names = " or ".join(np.dtype(each).name for each in dtypes)
        raise ManifestError(
            f"{data.kind}: got {name} {array.dtype} {list(array.shape)}, expected contiguous, aligned "
            f"{names} {list(shape)} (-1: any length)"
        )
    return array


def places(data: SceneData, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 array of that name and shape, of coordinates. Raises ManifestError."""
    array = tensor(data, name, (np.float32,), shape)
    if not (abs(array) <= FARTHEST).all():
        raise ManifestError(f"{data.kind}: got {name} {array.tolist()}, expected numbers up to {FARTHEST}")
    return array


def sky_weights(data: SceneData) -> np.ndarray | None:
    """`sky`, the weights of its network, [32, 16] and then [3, 32], or None. Raises ManifestError."""
    return tensor(data, "sky", (np.float32,), (SKY_WEIGHTS,)) if "sky" in data.tensors else None


def check_names(data: SceneData, read: set[str]) -> None:
    """Raise ManifestError when there are tensors that nobody reads."""
    if unread := set(data.tensors) - read:
        raise ManifestError(f"{data.kind}: got the tensors {sorted(unread)}, which are not known")
