"""What is in a `model.pt` of the SVRaster that NVlabs published: a dictionary that torch saved.

scene_center [3], scene_extent, inside_extent   centre and side of the octree's root cube, and the side of
                                                the cube of the content in its middle; world units
octpath [N, 1] int64    a voxel's octants from the root down, three bits each, from bit 47 on
octlevel [N, 1] int8    its level, 1 to 16; the root is level 0
_geo_grid_pts [M, 1]    raw density at the corners of voxels, which are ordered by their integer
                        coordinates on the lattice of level 16: by x, then y, then z
_sh0 [N, 3], _shs [N, B, 3], active_sh_degree   spherical harmonics, and how many bands of them count
quantized               true when densities, and each channel of _sh0 and coefficient of _shs, are
                        indices into a table: {index uint8, codebook}
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurocity.errors import CheckpointError, ConfigError
from neurocity.svraster import octree
from neurocity.svraster.config import MAX_LEVELS

_NAMES = (
    *("scene_center", "scene_extent", "inside_extent", "octpath", "octlevel"),
    *("_geo_grid_pts", "_sh0", "_shs", "active_sh_degree"),
)
_BASIS_SIZES = [(degree + 1) ** 2 - 1 for degree in range(4)]
_LATTICE_BITS = MAX_LEVELS + 1


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """The contents, checked and in our order.

    center: of root and content, world units. extent: side of the root cube. inside: of the content's cube.
    level [N], cell [N, 3] int64: voxels as in `octree`. density [M]: raw, at the points of
    `octree.grid_points`. sh0 [N, 3], shs [N, B, 3]: with the bands that count.
    """

    center: tuple[float, float, float]
    extent: float
    inside: float
    level: Tensor
    cell: Tensor
    density: Tensor
    sh0: Tensor
    shs: Tensor


def is_model_file(path: Path) -> bool:
    """Whether a file is such a model by the names in it; reads none of its weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            pickles = [archive.read(name) for name in names]
    except (OSError, zipfile.BadZipFile):
        return False
    return any(b"octpath" in pickle and b"_geo_grid_pts" in pickle for pickle in pickles)


def read_model_file(path: Path) -> ModelFile:
    """Raises CheckpointError when the file is truncated or not of this layout."""
    content = _read(path)
    try:
        level, cell = _voxels(content)
        _, points = octree.grid_points(level, cell)
        shs = _field(content, "_shs")
        _expect(shs.dim() == 3 and shs.shape[1] in _BASIS_SIZES, "_shs", list(shs.shape), "[N, B, 3]")
        degree, most = content["active_sh_degree"], _BASIS_SIZES.index(shs.shape[1])
        _expect(degree in range(most + 1), "active_sh_degree", degree, f"0 to {most}")
        x, y, z = _numbers(content, "scene_center", 3)
        (extent,), (inside,) = (_numbers(content, name, 1) for name in ("scene_extent", "inside_extent"))
        _expect(0.0 < inside <= extent, "inside_extent", inside, f"more than 0, at most {extent}")
        density = _shaped(_field(content, "_geo_grid_pts"), "_geo_grid_pts", len(points), 1)
        return ModelFile(
            center=(x, y, z),
            extent=extent,
            inside=inside,
            level=level,
            cell=cell,
            density=density.flatten()[_their_order(points)],
            sh0=_shaped(_field(content, "_sh0"), "_sh0", len(level), 3),
            shs=_shaped(shs, "_shs", len(level), shs.shape[1], 3)[:, : _BASIS_SIZES[degree]],
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: is not an SVRaster model that can be read: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on foreign bytes the unpickler raises whatever its steps run into
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as an SVRaster model ({path.stat().st_size} bytes; truncated?): {reason}"
        ) from None
    missing = [name for name in _NAMES if name not in content] if isinstance(content, dict) else list(_NAMES)
    if missing:
        raise CheckpointError(f"{path}: is not an SVRaster model (it lacks {', '.join(missing)})")
    assert isinstance(content, dict)
    return content


def _voxels(content: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Level [N] and cell [N, 3] int64. Raises ConfigError on paths and levels that do not fit."""
    for name in ("octpath", "octlevel"):
        found = content[name]
        _expect(isinstance(found, Tensor) and not found.is_floating_point(), name, found, "whole numbers")
    path, level = (content[name].flatten().long() for name in ("octpath", "octlevel"))
    _expect(len(path) == len(level) > 0, "octlevel", len(level), f"one for each of {len(path)} octpath")
    low, high = int(level.min()), int(level.max())
    _expect(low >= 1 and high <= MAX_LEVELS, "octlevel", f"{low} to {high}", f"1 to {MAX_LEVELS}")
    below = 3 * (MAX_LEVELS - level)
    fits = (path >= 0) & (path >> 3 * MAX_LEVELS == 0) & ((path >> below) << below == path)
    _expect(bool(fits.all()), "octpath", f"{int((~fits).sum())} below their level", "none")
    return level, octree.cells_of(path >> below)


def _their_order(points: Tensor) -> Tensor:
    """Where in their order, by x, then y, then z, the lattice points [M, 3] stand, [M]."""
    x, y, z = points.unbind(1)
    key = (x << 2 * _LATTICE_BITS) | (y << _LATTICE_BITS) | z
    return key.argsort().argsort()


def _field(content: dict[str, Any], name: str) -> Tensor:
    """Densities or harmonics, looked up in their tables where they are quantized."""
    value = content[name]
    if content.get("quantized", False):
        columns = []
        for part in value if isinstance(value, list) else [value]:
            known = isinstance(part, dict) and {"index", "codebook"} <= part.keys()
            _expect(known, name, type(part).__name__, "a table with index and codebook, as it is quantized")
            index, table = part["index"].long(), part["codebook"]
            _expect(int(index.max()) < len(table), name, f"index {int(index.max())}", f"below {len(table)}")
            columns.append(table[index])
        value = columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)
    _expect(isinstance(value, Tensor) and value.is_floating_point(), name, type(value).__name__, "numbers")
    values: Tensor = value.float()
    return values


def _shaped(value: Tensor, name: str, *shape: int) -> Tensor:
    _expect(value.shape == shape, name, list(value.shape), list(shape))
    _expect(bool(value.isfinite().all()), name, "values that are not finite", "numbers")
    return value


def _numbers(content: dict[str, Any], name: str, count: int) -> list[float]:
    value = torch.as_tensor(content[name]).double().flatten()
    numbers: list[float] = value.tolist()
    _expect(len(numbers) == count and bool(value.isfinite().all()), name, numbers, f"{count} numbers")
    return numbers


def _expect(holds: bool, name: str, got: object, expected: object) -> None:
    if not holds:
        raise ConfigError(f"{name}: got {got}, expected {expected}")
