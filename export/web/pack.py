"""A model as contents of the file: cells in order, inner ones made, numbers quantised."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from export.bits import Bits
from export.web.contents import Contents, Scales
from export.web.numbers.precision import (
    constant_scale,
    density_range,
    density_scale,
    harmonics_scale,
)
from export.web.octree.cells import cells_of
from export.web.octree.coarse import Matter, fill_inner_cells
from export.web.octree.lattice import Lattices

if TYPE_CHECKING:
    from neurocity.kernels.scene import SceneData


def contents_of(data: "SceneData", bits: Bits) -> Contents:
    """A scene of kind "voxels" with the model's own tensors, see `kernels.voxels.render_voxels`.

    Raises UnsupportedError when it has no voxels or too many.
    """
    own = data.tensors
    cells, voxel = cells_of(own["children"])
    lattices = Lattices.of(cells)
    drawn = np.flatnonzero(~cells.inner)
    # Densities of points in the order of the file: their first corners are those of the model's points.
    points = own["density"][own["voxel_points"][voxel].ravel()[lattices.voxels.met]].astype(np.float32)
    across = float(data.settings["density_scale"] * data.settings["root_side"])
    limits = density_range(points, across)
    coefficients = np.concatenate([own["sh0"][:, None], own["shs"]], axis=1)[voxel]
    matter = Matter(
        np.empty((len(cells), 8), np.float32), np.empty((len(cells), *coefficients.shape[1:]), np.float32)
    )
    matter.corners[drawn] = points[lattices.voxels.which]
    matter.colours[drawn] = coefficients
    inner_points = fill_inner_cells(cells, lattices.inner, matter, across, limits)
    floats = Contents(
        cells=cells,
        lattices=lattices,
        bits=bits,
        scales=None,
        settings=data.settings,
        root_low=own["root_low"],
        sky=own.get("sky"),
        voxel_points=points,
        inner_points=inner_points,
        constants=matter.colours[:, 0],
        harmonics=matter.colours[:, 1:],
    )
    return floats if bits.floats else _quantised(floats, limits)


def _quantised(floats: Contents, limits: tuple[float, float]) -> Contents:
    """The scene with as many bits as it says. limits: of raw densities."""
    bits = floats.bits
    density = density_scale(*limits, bits.density)
    constant = constant_scale(floats.constants, bits.constant)
    harmonic = harmonics_scale(floats.harmonics, bits.harmonics)
    highest, most = 2**bits.density - 1, 2 ** (bits.harmonics - 1) - 1
    return replace(
        floats,
        scales=Scales(density, constant, harmonic),
        voxel_points=density.quantised(floats.voxel_points, 0, highest, np.uint8),
        inner_points=tuple(density.quantised(each, 0, highest, np.uint8) for each in floats.inner_points),
        constants=constant.quantised(floats.constants, 0, 2**bits.constant - 1, np.uint16),
        harmonics=harmonic.quantised(floats.harmonics, -most, most, np.int8),
    )
