"""The coarse model of a city as it is rendered: in place of blocks, and around them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neurocity.city.artefacts import open_model
from neurocity.city.composing import Around
from neurocity.city.cutting import cell_voxels, ground_spans, mask_of, seen_alone
from neurocity.city.extent import voxel_box
from neurocity.city.ground import Rectangle
from neurocity.city.manifest import Box, Cell, City
from neurocity.errors import ManifestError
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import VoxelScene


@dataclass(frozen=True)
class CoarseModel:
    """What is in memory of it: what lies around the cells, and what is in them, with boxes; and its bytes.

    identity: equal for cities that have the same.
    """

    identity: object
    around: Around
    scenes: dict[Cell, VoxelScene]
    boxes: dict[Cell, Box]
    bytes: int

    @classmethod
    def of(cls, folder: Path, city: City, before: "CoarseModel | None" = None) -> "CoarseModel":
        """Of the city in a folder; `before` itself where that is the same.

        Raises ManifestError when it is not made, or broken, and ConfigError when it cannot be divided by the
        city's cells.
        """
        model = city.coarse.model
        if model is None:
            raise ManifestError(f"{folder}: the city's coarse model is not made yet, and there is no other")
        rectangle = Rectangle.around(city.owners or [(city.ground.range[0],) * 2])
        identity = (folder, model.folder, model.artefact, city.ground, rectangle)
        if before is not None and before.identity == identity:
            return before
        data = open_model(folder, model)
        around = Around(data, city.ground, rectangle)
        spans = ground_spans(data, city.ground)
        scenes, boxes = {}, {}
        for cell, voxels in cell_voxels(spans, rectangle).items():
            mask = mask_of(voxels, len(spans.low))
            scenes[cell] = VoxelScene(seen_alone(data, mask))
            boxes[cell] = voxel_box(data, mask)
        return cls(identity, around, scenes, boxes, array_bytes(data, scenes.values()))


def array_bytes(data: SceneData, scenes: Iterable[VoxelScene]) -> int:
    """Of the arrays of a model and of its scenes, each counted once."""
    arrays = {id(array): array for scene in scenes for array in scene.arrays}
    arrays |= {id(array): array for array in data.tensors.values()}
    return sum(array.nbytes for array in arrays.values())
