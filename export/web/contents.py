"""A scene as the file holds it: cells, numbers on the points that they share, colours' coefficients.

Notation
    C cells, B harmonics of a colour beside its constant
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.bits import Bits
from export.web.numbers.precision import Scale
from export.web.octree.cells import EMPTY, FIRST_VOXEL, Cells
from export.web.octree.lattice import Lattices
from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import record_width


@dataclass(frozen=True)
class Scales:
    """What whole numbers stand for; one of each kind."""

    density: Scale
    constant: Scale
    harmonics: Scale


@dataclass(frozen=True)
class Contents:
    """Everything that is drawn.

    settings, root_low, sky: of `neurocity.kernels.voxels`; sky is None where there is none.
    scales: None in a scene of floats.
    voxel_points [points], inner_points by level: densities, uint8 or float32.
    constants [C, 3]: uint16 or float32. harmonics [C, B, 3]: int8 or float32.
    """

    cells: Cells
    lattices: Lattices
    bits: Bits
    scales: Scales | None
    settings: Mapping[str, float]
    root_low: np.ndarray
    sky: np.ndarray | None
    voxel_points: np.ndarray
    inner_points: tuple[np.ndarray, ...]
    constants: np.ndarray
    harmonics: np.ndarray

    def differences(self, other: "Contents") -> list[str]:
        """Names of the numbers that are not the same in both, to the bit."""
        pairs = {
            "cells": (self.cells.masks(), other.cells.masks()),
            "densities of voxels": ((self.voxel_points,), (other.voxel_points,)),
            "densities of inner cells": (self.inner_points, other.inner_points),
            "constants": ((self.constants,), (other.constants,)),
            "harmonics": ((self.harmonics,), (other.harmonics,)),
        }
        return [name for name, (own, others) in pairs.items() if not all(map(_same, own, others))]

    def corner_densities(self) -> np.ndarray:
        """Raw densities of every cell's corners, [C, 8] float32."""
        corners = np.empty((len(self.cells), 8), np.float32)
        corners[~self.cells.inner] = self._raw(self.voxel_points)[self.lattices.voxels.which]
        for here, points, lattice in zip(
            self.cells.slices(), self.inner_points, self.lattices.inner, strict=True
        ):
            corners[here][self.cells.inner[here]] = self._raw(points)[lattice.which]
        return corners

    def coefficients(self) -> np.ndarray:
        """Coefficients of every cell's colour, [C, B + 1, 3] float32."""
        constants, harmonics = self.constants, self.harmonics
        if self.scales is not None:
            constants = self.scales.constant.restored(constants)
            harmonics = self.scales.harmonics.restored(harmonics)
        return np.concatenate([constants[:, None], harmonics], axis=1)

    def scene_data(self, deepest: int | None = None) -> SceneData:
        """The scene as kernels render it. deepest: inner cells of this level are drawn instead of what is
        below them; None for the voxels alone.
        """
        cells = self.cells
        end = cells.deepest if deepest is None else min(deepest, cells.deepest)
        count = cells.starts[end + 1]
        drawn = ~cells.inner[:count]
        if deepest is not None:
            drawn[cells.starts[end] :] = True
        number = np.where(drawn, FIRST_VOXEL - (np.cumsum(drawn) - 1), np.cumsum(~drawn) - 1)
        children = np.full((int((~drawn).sum()), 8), EMPTY, np.int32)
        children[number[cells.parent[1:count]], cells.octant[1:count]] = number[1:]
        colours = self.coefficients()[:count][drawn]
        columns = colours.reshape(len(colours), -1), self.corner_densities()[:count][drawn]
        values = np.concatenate(columns, axis=1)
        width = record_width(int(self.settings["sh_degree"]), np.float32)
        records = np.zeros((len(values), width), np.float32)
        records[:, : values.shape[1]] = values
        tensors = {"children": children, "records": records, "root_low": self.root_low}
        if self.sky is not None:
            tensors["sky"] = self.sky
        return SceneData("voxels", tensors, self.settings)

    def _raw(self, points: np.ndarray) -> np.ndarray:
        return points if self.scales is None else self.scales.density.restored(points)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Floats are compared as bits, so that what is not a number equals itself."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
