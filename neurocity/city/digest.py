"""What a picture of a city depends on, told from its camera: the blocks that may be in it, and no others."""

import hashlib

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.city.ground import joined
from neurocity.city.manifest import City, CityModel
from neurocity.city.ways import Ways


class ViewDigests:
    """Digests of a city's views. A block that is replaced changes those of the pictures that may show it."""

    def __init__(self, city: City) -> None:
        made = [block for block in city.blocks if block.model]
        boxes = [joined(each.box for each in (block.model, *block.coarser) if each) for block in made]
        self._boxes = np.array(boxes, np.float64).reshape(-1, 2, 3)
        self._blocks = [
            repr((block.id, block.cells, *map(_facts, (block.model, *block.coarser)))) for block in made
        ]
        # A block that is made hides what the coarse model has over its cells, which may be more than it has.
        cells = sorted((cell, block.model is not None) for cell, block in city.owners.items())
        everywhere = (city.name, city.ground, city.origin, city.up, cells, _facts(city.coarse.model))
        self._everywhere = hashlib.sha256(repr(everywhere).encode()).hexdigest()

    def of(self, camera: Camera) -> str:
        """SHA-256 (hex) of what the picture of a camera in scene coordinates is made of."""
        parts = [self._everywhere]
        if self._blocks:
            met = ways_of(camera).may_meet(self._boxes)
            parts += [self._blocks[number] for number in np.flatnonzero(met)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ways_of(camera: Camera) -> Ways:
    """Where the rays of a camera can go. Of a lens that is none: everywhere."""
    if camera.lens.model != "PINHOLE":
        ends = np.array([[-1.0] * 3, [1.0] * 3])
        return Ways(np.stack([camera.position] * 2), ends)
    # Directions that are not scaled to unit length are linear in the place on the picture, so that the
    # greatest of each component is at a corner.
    right, up, back = camera.camera_to_world[:3, :3].T
    corners = []
    for x in (-camera.cx, camera.width - camera.cx):
        for y in (-camera.cy, camera.height - camera.cy):
            corners.append(right * (x / camera.fl_x) - up * (y / camera.fl_y) - back)
    directions: npt.NDArray[np.float64] = np.array(corners)
    return Ways(np.stack([camera.position] * 2), np.stack([directions.min(0), directions.max(0)]))


def _facts(model: CityModel | None) -> object:
    return model and (model.folder, model.version, model.artefact.sha256, model.box, model.voxel_side)
