"""Emptying of cells that no photograph needs (after Sun et al. 2024, section 3.2, where it is voxels).

Density alone cannot tell fog from matter: a hundred cells that each hold back a little light are as occupied
as a wall. What tells them apart is the largest compositing weight that any training ray gives a cell.
"""

from typing import Any, Final

import torch
from torch import Tensor

RAYS_PER_FACE_CELL: Final = 32
"""Training rays between two prunings, for each cell of a face of the grid: so many meet a cell of a surface
on average, while surfaces have about as many cells as faces."""


class SeenWeights:
    """The largest compositing weight that training rays gave to each cell [G^3], since the last pruning.

    rays: how many rays that were, over all processes.
    """

    def __init__(self, resolution: int) -> None:
        self.largest = torch.zeros(resolution**3)
        self.enough = RAYS_PER_FACE_CELL * resolution**2
        self.rays = 0

    @torch.no_grad()
    def add(self, cells: Tensor, weights: Tensor) -> None:
        """Take in samples in cells [N] with weights [N]."""
        self.largest = self.largest.to(weights.device)
        self.largest.scatter_reduce_(0, cells, weights.detach(), "amax")

    @property
    def complete(self) -> bool:
        """Whether enough rays were seen to judge cells by."""
        return self.rays >= self.enough

    def clear(self) -> None:
        """Begin anew."""
        self.largest.zero_()
        self.rays = 0

    def state(self) -> dict[str, Any]:
        """What `load` takes."""
        return {"largest": self.largest, "rays": self.rays}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.largest.copy_(state["largest"])
        self.rays = int(state["rays"])
