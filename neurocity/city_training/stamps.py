"""What tells a part's photographs from others that came into their place under the same names."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Final

from neurocity.city.manifest import City
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.data.load import load_scene
from neurocity.data.scene import Frame, Scene
from neurocity.errors import NeuroCityError

ENDS: Final = 2**16
"""Bytes of a file's beginning and of its end that are looked at: a city has too many to be read each time."""


class Stamps:
    """Of the photographs of a city's parts as they are now; read once, when they are asked for."""

    def __init__(self, city: City, options: PartOptions) -> None:
        self._city, self._options = city, options

    def of(self, part: str) -> str:
        """SHA-256 over names, poses and intrinsics, and of images and masks size and ends, which are the same
        on another machine; empty where the photographs are not at hand.
        """
        names = self._city.coarse.photographs if part == COARSE else self._city.block(part).photographs
        digest = hashlib.sha256()
        try:
            for name in names:
                if frame := self._frames.get(name):
                    _add(digest, frame)
        except (NeuroCityError, OSError):  # training says what is wrong with them
            return ""
        return digest.hexdigest()

    @cached_property
    def _frames(self) -> dict[str, Frame]:
        return {frame.name: frame for frame in scene_of(self._city, self._options).splits["train"]}


def scene_of(city: City, options: PartOptions) -> Scene:
    """The photographs of a city. Raises DataError."""
    return load_scene(
        options.data or city.data,
        downscale=options.downscale,
        missing=options.missing,
        unbounded=city.unbounded,
        origin=city.origin,
    )


def _add(digest: "hashlib._Hash", frame: Frame) -> None:
    camera = frame.camera
    digest.update(repr((frame.name, tuple(camera.intrinsics.values()), camera.lens)).encode())
    digest.update(camera.camera_to_world.tobytes())
    for path in (frame.image_path, *frame.mask_paths):
        digest.update(_ends(path))


def _ends(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(ENDS)
        file.seek(max(len(begin), size - ENDS))
        return f"{size} ".encode() + begin + file.read()
