"""Writes a model as the `model.pt` of NVlabs' SVRaster, number by number, after the layout of such files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurocity.svraster.core import SVRaster

LEVELS = 16


def octpath(level: int, cell: tuple[int, int, int]) -> int:
    """The octants from the root down to a cell, three bits each, the first at bits 47 to 45."""
    path = 0
    for depth in range(1, level + 1):
        octant = 0
        for coordinate in cell:
            octant = 2 * octant + (coordinate >> (level - depth)) % 2
        path += octant << 3 * (LEVELS - depth)
    return path


def lattice_corner(level: int, cell: tuple[int, int, int], corner: int) -> tuple[int, int, int]:
    """A corner's coordinates on the lattice of the finest level; bits of `corner` are x, y, z."""
    x, y, z = (
        (coordinate + (corner >> shift) % 2) * 2 ** (LEVELS - level)
        for coordinate, shift in zip(cell, (2, 1, 0), strict=True)
    )
    return x, y, z


def model_content(
    model: SVRaster, *, center: tuple[float, float, float], extent: float, outside_level: int
) -> dict[str, Any]:
    """The dictionary in a file with the voxels and values of `model`, in a root cube of another place."""
    levels = model.voxel_level.tolist()
    cells = [(x, y, z) for x, y, z in model.voxel_cell.tolist()]
    densities = {
        lattice_corner(level, cell, corner): model.density[model.voxel_points[voxel, corner]].item()
        for voxel, (level, cell) in enumerate(zip(levels, cells, strict=True))
        for corner in range(8)
    }
    return {
        "active_sh_degree": model.config.sh_degree,
        "scene_center": torch.tensor(center),
        "inside_extent": torch.tensor([extent / 2**outside_level]),
        "scene_extent": torch.tensor([extent]),
        "octpath": torch.tensor([[octpath(*voxel)] for voxel in zip(levels, cells, strict=True)]),
        "octlevel": torch.tensor([[level] for level in levels], dtype=torch.int8),
        "_geo_grid_pts": torch.tensor([[densities[point]] for point in sorted(densities)]),
        "_sh0": model.sh0.detach().clone(),
        "_shs": model.shs.detach().clone(),
        "quantized": False,
    }


def quantized(content: dict[str, Any]) -> dict[str, Any]:
    """The same with tables of 256 values, each channel of `_sh0` and coefficient of `_shs` with its own."""
    return {
        **content,
        "_geo_grid_pts": _table(content["_geo_grid_pts"]),
        "_sh0": [_table(part) for part in content["_sh0"].split(1, dim=1)],
        "_shs": [_table(part) for part in content["_shs"].split(1, dim=1)],
        "quantized": True,
    }


def dequantized(content: dict[str, Any]) -> dict[str, Any]:
    """What `quantized` stands for."""
    values = {
        name: np.concatenate([part["codebook"].numpy()[part["index"].numpy()] for part in parts], axis=1)
        for name, parts in (
            ("_geo_grid_pts", [content["_geo_grid_pts"]]),
            ("_sh0", content["_sh0"]),
            ("_shs", content["_shs"]),
        )
    }
    return {**content, **{name: torch.from_numpy(value) for name, value in values.items()}}


def write(content: dict[str, Any], folder: Path, name: str = "iter020000_model.pt") -> Path:
    """The file where a run of theirs has it."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "checkpoints" / name)
    return folder / "checkpoints" / name


def _table(values: torch.Tensor) -> dict[str, torch.Tensor]:
    codebook = torch.linspace(float(values.min()), float(values.max()), 256)
    index = (values.reshape(-1, 1) - codebook).abs().argmin(1)
    return {"index": index.reshape(values.shape).to(torch.uint8), "codebook": codebook}
