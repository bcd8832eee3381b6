"""Where the voxels of an untrained SVRaster are: a grid in the box's cube, and shells around it.

Notation
    k shells; the octree's root has 2^k times the side of the box's cube, which is in its middle
"""

import torch
from torch import Tensor

from neurocity.errors import ConfigError
from neurocity.svraster.config import SVRasterConfig
from neurocity.svraster.octree import dense_cells

SHELL_RESOLUTION = 16
"""Cells of an untrained shell along an axis of its cube."""


def base_voxels(config: SVRasterConfig) -> tuple[Tensor, Tensor]:
    """Level [N] and cell [N, 3] of the base grid, and of the shells when unbounded."""
    return _with_shells(config, dense_cells(config.base_resolution), config.base_resolution)


def possible_voxels(config: SVRasterConfig, possible: Tensor) -> tuple[Tensor, Tensor]:
    """As `base_voxels`, with the cells alone where `possible` [resolution^3] bool, x fastest, is true.

    Raises ConfigError if the resolution is no power of two that the octree has.
    """
    resolution = round(len(possible) ** (1 / 3))
    most = 2**config.max_octree_levels
    if resolution**3 != len(possible) or resolution < 2 or resolution & (resolution - 1) or resolution > most:
        raise ConfigError(
            f"possible cells: got {len(possible)}, expected the cube of a power of two from 2 to {most}"
        )
    cells = dense_cells(resolution)
    flat = cells[:, 0] + resolution * (cells[:, 1] + resolution * cells[:, 2])
    return _with_shells(config, cells[possible.cpu()[flat]], resolution)


def _with_shells(config: SVRasterConfig, cells: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """Cells [N, 3] of a grid in the box's cube as voxels, within the box when bounded, shells around."""
    outside = config.bounds_level
    inner = outside + resolution.bit_length() - 1
    if not outside:
        cells = cells[_in_box(config, cells, resolution)]
    parts = [(inner, cells + (2**inner - resolution) // 2)]
    shell = dense_cells(SHELL_RESOLUTION)
    quarter = SHELL_RESOLUTION // 4
    shell = shell[((shell < quarter) | (shell >= 3 * quarter)).any(1)]
    for number in reversed(range(outside)):
        level = number + SHELL_RESOLUTION.bit_length() - 1
        parts.append((level, shell + (2**level - SHELL_RESOLUTION) // 2))
    levels = [torch.full((len(cell),), level) for level, cell in parts]
    return torch.cat(levels), torch.cat([cell for _, cell in parts])


def _in_box(config: SVRasterConfig, cells: Tensor, resolution: int) -> Tensor:
    """Which cells [N, 3] of the box's cube have a part of the box in them, [N] bool."""
    low, high = torch.tensor(config.scene_bounds, dtype=torch.float64).view(2, 3)
    side = (high - low).max()
    begin, end = ((part - (low + high) / 2) / side * resolution + resolution / 2 for part in (low, high))
    return ((cells < end) & (cells + 1 > begin)).all(1)
