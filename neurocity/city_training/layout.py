"""The octrees of a city's parts: how they lie in the city's root, and what they begin with.

The octree's root of every block is that of the city's ground; the coarse model's is the same one, or with
shells of an unbounded capture that doubled around it. Planes of voxels then coincide with cells' borders.

Notation
    k  how often the coarse model's root is halved to the city's
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from neurocity.city.cutting import ground_spans
from neurocity.city.manifest import Box, Cell, City, Ground
from neurocity.city_training.surroundings import FINER, Region, voxel_centers
from neurocity.errors import ConfigError, TrainingError
from neurocity.svraster.config import MAX_LEVELS, SVRasterConfig
from neurocity.svraster.core import SVRaster
from neurocity.svraster.octree import dense_cells

BASE_LEVEL: Final = 5
"""Of the voxels that the coarse model has at least where the city is not."""
COARSE_MODEL_LEVELS: Final = 6
"""A cell is halved so many times to the smallest voxels of the coarse model."""
BLOCK_LEVELS: Final = -1
"""How often a cell is halved to the smallest voxels of a block, less than a scene's box is by the preset: a
cell is smaller than a scene."""
MOST_HULL_LEVEL: Final = 8
"""Of the grid that a capture with transparent photographs is carved from."""


def coarse_config(city: City, config: SVRasterConfig) -> SVRasterConfig:
    """The coarse model's configuration, from a preset's. Raises ConfigError for too many cells."""
    ground = city.ground
    levels = min(ground.level + COARSE_MODEL_LEVELS, MAX_LEVELS - config.outside_levels * city.unbounded)
    base = max(BASE_LEVEL, ground.level)
    if max(base, ground.level + FINER) > levels:
        raise ConfigError(
            f"block_size: the city is {ground.count} cells wide, of which an octree of {MAX_LEVELS} levels "
            f"cannot hold a coarse model; plan larger blocks"
        )
    return replace(
        _in_root(config, ground, unbounded=city.unbounded),
        max_octree_levels=levels,
        base_resolution=2**base,
    )


def block_config(city: City, config: SVRasterConfig) -> SVRasterConfig:
    """A block's configuration, from a preset's."""
    levels = min(city.ground.level + config.max_octree_levels + BLOCK_LEVELS, MAX_LEVELS)
    # A model is made with the base grid, and gets its own voxels when training starts.
    return replace(_in_root(config, city.ground), max_octree_levels=levels, base_resolution=2)


def _in_root(config: SVRasterConfig, ground: Ground, *, unbounded: bool = False) -> SVRasterConfig:
    """Density is measured by cells, as a scene's is by its box: then all parts learn alike."""
    low, high = ground.low, tuple(at + ground.side for at in ground.low)
    changed = replace(config, depth_per_side=config.depth_per_side * 2**ground.level)
    return changed.for_scene((*low, high[0], high[1], high[2]), unbounded)


def hull_resolution(ground: Ground) -> int:
    """Cells along the root of the visual hull that a bounded coarse model starts from.

    Raises ConfigError where that would be too many.
    """
    level = max(BASE_LEVEL + 1, ground.level + FINER)
    if level > MOST_HULL_LEVEL:
        raise ConfigError(
            f"block_size: the city is {ground.count} cells wide, and its photographs are transparent where "
            f"nothing is; such captures are carved for cities of {2 ** (MOST_HULL_LEVEL - FINER)} cells at "
            "most. Plan larger blocks"
        )
    return 2**level


def coarse_voxels(model: SVRaster, ground: Ground, bounds: Box) -> tuple[Tensor, Tensor]:
    """Level [N] and cell [N, 3] of an untrained unbounded coarse model.

    As it is made, with smaller voxels in the city's bounds, so that regions of blocks end between voxels.
    """
    # All of it on the CPU, wherever the model is trained.
    level, cell = model.voxel_level.cpu(), model.voxel_cell.cpu()
    wanted = ground.level + FINER + model.config.bounds_level
    side = model.root_side * torch.exp2(-level.double())[:, None]
    low = model.root_low.cpu().double() + cell * side
    box = torch.tensor(bounds, dtype=torch.float64).view(2, 3)
    over = ((low < box[1]) & (low + side > box[0])).all(1) & (level < wanted)
    parts = [(level[~over], cell[~over])]
    for depth in level[over].unique().tolist():
        count = 2 ** (wanted - depth)
        own = cell[over & (level == depth)]
        finer = (own[:, None] * count + dense_cells(count)).view(-1, 3)
        parts.append((torch.full((len(finer),), wanted), finer))
    levels, cells = zip(*parts, strict=True)
    return torch.cat(levels), torch.cat(cells)


def place_of_region(coarse: SVRaster, ground: Ground, region: Region) -> tuple[Tensor, Tensor, Tensor]:
    """What a block begins with: the coarse model's voxels in its region, in the block's octree.

    Returns which of the coarse voxels they are [N], their levels [N] and cells [N, 3]. Raises ConfigError as
    `ground_spans`, and TrainingError when there are none.
    """
    data = coarse.scene_data()
    ground_spans(data, ground)  # or else the planes of both are not the same
    inside = torch.from_numpy(region.holds(voxel_centers(data)))
    if not bool(inside.any()):
        raise TrainingError(
            f"the coarse model has nothing in the region {np.round(region.box, 2).tolist()}; train it "
            "longer, or leave the block out of the plan"
        )
    chosen = inside.nonzero().flatten()
    halvings = coarse.config.bounds_level
    level = coarse.voxel_level[chosen] - halvings
    begin = (torch.pow(2, coarse.voxel_level[chosen]) - torch.pow(2, level)) // 2
    return chosen, level, coarse.voxel_cell[chosen] - begin[:, None]


@torch.no_grad()
def take_over(model: SVRaster, coarse: SVRaster, chosen: Tensor) -> None:
    """Give the voxels [N] of a model the densities and colours of the coarse model's voxels `chosen` [N]."""
    device = model.density.device
    own, theirs = model.voxel_points.long(), coarse.voxel_points[chosen].long()
    model.density[own.flatten()] = coarse.density[theirs.flatten()].to(device)
    model.sh0.copy_(coarse.sh0[chosen])
    model.shs.copy_(coarse.shs[chosen])


def clipped(model: SVRaster, ground: Ground, cells: Iterable[Cell], *, without: bool = False) -> SVRaster:
    """The model with the voxels in these cells alone, or `without` these; they are as they were.

    The octree keeps its root, so that rays meet voxels at the same depths. Raises TrainingError where no
    voxel is left.
    """
    spans = ground_spans(model.scene_data(), ground)
    kept = np.zeros(len(spans.low), bool)
    for cell in cells:
        kept |= spans.within(cell, cell)
    chosen = torch.from_numpy(np.flatnonzero(kept != without))
    if not len(chosen):
        raise TrainingError("the model has no voxels in the cells of its block")
    part = SVRaster(model.config)
    part.set_voxels(model.voxel_level[chosen], model.voxel_cell[chosen])
    take_over(part, model, chosen)
    part.sky_net.load_state_dict(model.sky_net.state_dict())
    return part.eval().requires_grad_(False)
