"""Golden rays: what a model answered at the export, as a file that travels with its artefact.

Written by `export.parity.golden`; read by whoever proves an artefact once more.
"""

import io
from typing import NamedTuple

import numpy as np

from neurocity.cameras import Rays
from neurocity.errors import ManifestError
from neurocity.light import Light

_RAY_SHAPES: dict[str, tuple[int, ...]] = {"origins": (3,), "directions": (3,)}
_LIGHT_SHAPES: dict[str, tuple[int, ...]] = {"rgb": (3,), "depth": (), "opacity": ()}
"""Arrays of a ray and of its light, and their shapes behind the axis of rays."""


class Answered(NamedTuple):
    """Rays and what the model answers to them."""

    rays: Rays
    rendered: Light


def read_rays(data: bytes, where: str, *, radii: bool = False) -> dict[str, Answered]:
    """Name of each set of rays -> its rays and answers; `radii` says whether the graph takes them.

    Raises ManifestError, naming `where`, on anything but such a file.
    """
    shapes = _RAY_SHAPES | ({"radii": (1,)} if radii else {}) | _LIGHT_SHAPES
    arrays = read_arrays(data, where, ("names", "counts", *shapes))
    ends = np.cumsum(arrays["counts"])
    total = int(ends[-1]) if len(ends) else 0
    found = {name: arrays[name].shape for name in shapes}
    if len(arrays["names"]) != len(ends) or found != {name: (total, *shapes[name]) for name in shapes}:
        raise ManifestError(f"{where}: its arrays have the shapes {found}, which do not fit each other")
    answered = {}
    for name, start, end in zip(arrays["names"], [0, *ends[:-1]], ends, strict=True):
        part = {field: arrays[field][int(start) : int(end)] for field in shapes}
        light = Light(*(part.pop(field) for field in _LIGHT_SHAPES))
        rays = Rays(part["origins"], part["directions"], part.get("radii"))
        answered[str(name)] = Answered(rays, light)
    return answered


def read_arrays(data: bytes, where: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of those names of a .npz file; raises ManifestError, naming `where`, where it lacks one."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # on foreign bytes zip and numpy raise whatever their steps run into
        raise ManifestError(f"{where}: cannot be read as golden arrays ({error}); export again") from None
