"""Checks of what a file says of a scene, before a kernel reads it."""

from collections.abc import Mapping

import numpy as np

from neurocity.errors import ManifestError
from neurocity.kernels.scene import SceneData

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
    """The contiguous array of that name, one of the types, -1 for any length. Raises ManifestError."""
    array = data.tensors.get(name)
    if array is None:
        raise ManifestError(f"{data.kind}: {name} is missing, got the tensors {sorted(data.tensors)}")
    fits = array.ndim == len(shape) and all(
        wanted in (-1, got) for got, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype not in dtypes or not fits or not array.flags.c_contiguous:
        names = " or ".join(np.dtype(each).name for each in dtypes)
        raise ManifestError(
            f"{data.kind}: got {name} {array.dtype} {list(array.shape)}, expected contiguous {names} "
            f"{list(shape)} (-1: any length)"
        )
    return array


def check_names(data: SceneData, read: set[str]) -> None:
    """Raise ManifestError when there are tensors that nobody reads."""
    if unread := set(data.tensors) - read:
        raise ManifestError(f"{data.kind}: got the tensors {sorted(unread)}, which are not known")
