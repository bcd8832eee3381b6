"""A model of voxels with larger ones in place of the smallest: what is seen of it from far away.

Notation
    alpha     share of light that a voxel takes from a ray straight through it
    E         edge of a voxel, world units; tau = E density, alpha = 1 - exp(-tau)
    children  the 8 octants of a node, of which absent ones take no light

A node becomes one voxel, alike everywhere. It takes from rays along each axis what its children take, two
behind each other on four ways, in the mean of the ways and axes; its colour is the mean of the children's,
weighted by alpha.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from neurocity.city.extent import deepest_level
from neurocity.city.manifest import Ground
from neurocity.city.octree import EMPTY, FIRST_VOXEL, node_levels
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import CORNERS

Array = npt.NDArray[np.float64]

MOST_ALPHA: Final = 1.0 - 1e-6
"""Of a voxel, whose density is finite."""
LEAST_DENSITY: Final = 1e-30
COARSE_LEVELS: Final = 4
"""A cell is halved so many times to the voxels of the coarse model that is cut, and of the coarsest cut of a
block."""
_PAIRS: Final = tuple([octant for octant in range(8) if not octant & bit] for bit in (4, 2, 1))
"""For each axis the octants of the low side; the other of a pair is `bit` higher."""


def cuts_from_afar(data: SceneData, ground: Ground) -> Iterator[SceneData]:
    """A block with larger and larger voxels, down to `COARSE_LEVELS` below its cells."""
    for level in range(deepest_level(data) - 1, ground.level + COARSE_LEVELS - 1, -1):
        data = coarsened(data, level)
        yield data


def coarsened(
    data: SceneData, level: int, inside: Callable[[SceneData], npt.NDArray[np.bool_]] | None = None
) -> SceneData:
    """The model without voxels smaller than those of a level, 1 at least.

    inside: which voxels [N] of a model may go, those of a node of that level alike; all without it.
    """
    for deepest in range(deepest_level(data), level, -1):
        data = _without_level(data, deepest, None if inside is None else inside(data))
    return data


def _without_level(data: SceneData, level: int, may_go: npt.NDArray[np.bool_] | None) -> SceneData:
    """The nodes over voxels of that level, which have no nodes below, as voxels of the level above."""
    children, records = data.tensors["children"], data.tensors["records"]
    merged = node_levels(children)[level - 1]
    below = children[merged]
    goes = (below < 0).all(1)
    if may_go is not None:
        is_voxel = below <= FIRST_VOXEL
        goes &= (may_go[np.where(is_voxel, FIRST_VOXEL - below, 0)] | ~is_voxel).all(1)
    merged = merged[goes]
    side = float(data.settings["root_side"]) / 2**level
    below = children[merged]
    there = below != EMPTY
    values = records.astype(np.float64)[np.where(there, FIRST_VOXEL - below, 0)]
    colors = 3 * (int(data.settings["sh_degree"]) + 1) ** 2
    scale = float(data.settings["density_scale"])
    density = explin(values[:, :, colors : colors + CORNERS].mean(-1))
    alpha = np.where(there, -np.expm1(-density * scale * side), 0.0)
    weight = alpha / np.maximum(alpha.sum(1, keepdims=True), 1e-12)
    new = np.zeros((len(merged), records.shape[1]))
    new[:, :colors] = (weight[:, :, None] * values[:, :, :colors]).sum(1)
    new[:, colors : colors + CORNERS] = _raw_density(_alpha_of_node(alpha), 2.0 * side * scale)[:, None]

    # Voxels of the level go, nodes over them become voxels, and what remains keeps its order.
    gone = np.zeros(len(records), bool)
    gone[FIRST_VOXEL - below[there]] = True
    number = np.cumsum(~gone) - 1
    place = np.full(len(children), -1)
    place[merged] = np.arange(len(merged)) + int((~gone).sum())
    table = children.astype(np.int64)
    is_voxel, is_node = table <= FIRST_VOXEL, table >= 0
    table[is_voxel] = FIRST_VOXEL - number[FIRST_VOXEL - table[is_voxel]]
    into = place[table[is_node]]
    left = place < 0
    row = np.cumsum(left) - 1
    table[is_node] = np.where(into >= 0, FIRST_VOXEL - into, row[table[is_node]])
    largest = np.finfo(records.dtype).max
    kept = np.concatenate([records[~gone], new.clip(-largest, largest).astype(records.dtype)])
    tensors = {**data.tensors, "children": table[left].astype(np.int32), "records": kept}
    return replace(data, tensors=tensors)


def _alpha_of_node(alpha: Array) -> Array:
    """[K] Of nodes whose children have alpha [K, 8]."""
    through = 1.0 - alpha
    means = [
        1.0 - (through[:, low] * through[:, np.add(low, bit)]).mean(1)
        for low, bit in zip(_PAIRS, (4, 2, 1), strict=True)
    ]
    mean: Array = np.mean(means, axis=0)
    return mean


def _raw_density(alpha: Array, length: float) -> Array:
    """The raw density [K] of voxels that take alpha [K] over a length in units of activated density."""
    density = np.maximum(-np.log1p(-np.minimum(alpha, MOST_ALPHA)) / length, LEAST_DENSITY)
    raw: Array = np.where(density > 1.1, density, (np.log(density) + 0.904689820196) * 1.1)
    return raw


def explin(raw: Array) -> Array:
    """Activated density, see docs/native.md."""
    activated: Array = np.where(raw > 1.1, raw, np.exp(np.minimum(raw, 1.1) / 1.1 - 0.904689820196))
    return activated
