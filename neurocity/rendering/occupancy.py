"""Occupancy grid: which cells of the unit cube can hold matter (Müller et al. 2022, appendix E.2).

Notation
    G cells along an axis; cell (ix, iy, iz) stands at index ix + G (iy + G iz)
    density [G^3]  running maximum of the field's density in a cell; NEVER for cells that can hold nothing
    jump [G^3]     how many cells, in maximum norm, a ray may travel from anywhere in a cell without meeting
                   an occupied one; OCCUPIED in occupied cells
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from neurocity.kernels.occupancy import find_jumps
from neurocity.rendering.cpu_kernels import arrays, kernels_apply

NEVER: Final = -1.0
OCCUPIED: Final = -1.0
LONGEST_JUMP: Final = 32


class OccupancyGrid(nn.Module):
    """Density per cell, and the jump field that marching reads."""

    density: Tensor
    jump: Tensor

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("density", torch.full((resolution**3,), torch.inf))
        self.register_buffer("jump", torch.full((resolution**3,), OCCUPIED))

    def cell_corners(self, cells: Tensor) -> Tensor:
        """Lower corners of cells [N] int64 in the unit cube -> [3, N]."""
        grid = self.resolution
        planes = [cells % grid, cells // grid % grid, cells // grid**2]
        return torch.stack(planes).float() / grid

    @torch.no_grad()
    def restrict(self, possible: Tensor) -> None:
        """Exclude, for good, the cells where `possible` [G^3] bool is False."""
        self.density[~possible] = NEVER
        self.set_occupied((self.jump == OCCUPIED) & possible)

    @torch.no_grad()
    def guess(self, occupied: Tensor) -> None:
        """Begin with exactly the cells of `occupied` [G^3] bool; updates grow and prune them from there."""
        self.density.copy_(torch.where(self.density == NEVER, NEVER, occupied.float()))
        self.set_occupied(self.density > 0.0)

    @torch.no_grad()
    def update(
        self,
        density_at: Callable[[Tensor], Tensor],
        *,
        cells: Tensor,
        decay: float,
        threshold: float,
        generator: torch.Generator,
    ) -> None:
        """Decay the running maximum, refresh it at a random point of each of `cells` [N]; find the jumps.

        density_at: points [3, N] in the unit cube -> density [N]. A cell is occupied where its value exceeds
        min(threshold, mean of the cells that were ever measured).
        """
        cells = cells[self.density[cells] != NEVER]
        offsets = torch.rand(3, len(cells), generator=generator, device=cells.device) / self.resolution
        fresh = density_at(self.cell_corners(cells) + offsets)
        # All cells decay, as in the paper: matter that is gone would else be kept until its cell is drawn.
        self.density[self.density > 0.0] *= decay
        old = self.density[cells]
        self.density[cells] = torch.where(old.isinf(), 0.0, old)
        # A cell that was drawn twice keeps the larger value, in whichever order threads write.
        self.density.scatter_reduce_(0, cells, fresh, "amax")
        measured = self.density[(self.density >= 0.0) & self.density.isfinite()]
        level = min(threshold, float(measured.mean())) if len(measured) else threshold
        self.set_occupied(self.density > level)

    @torch.no_grad()
    def set_occupied(self, occupied: Tensor) -> None:
        """Make exactly the cells of `occupied` [G^3] bool occupied and rebuild the jump field."""
        self.jump.copy_(jump_field(occupied, self.resolution))


def jump_field(occupied: Tensor, grid: int) -> Tensor:
    """Jump field [G^3] float of `occupied` [G^3] bool: Chebyshev distance to an occupied cell, less one."""
    if kernels_apply(occupied):
        (cells,) = arrays(occupied)
        return torch.from_numpy(find_jumps(cells, grid, LONGEST_JUMP))
    return dilation_distance(occupied, grid) - 1.0


def dilation_distance(occupied: Tensor, grid: int) -> Tensor:
    """Chebyshev distance [G^3] to the nearest occupied cell, at most LONGEST_JUMP, by repeated dilation."""
    reached = occupied.view(1, 1, grid, grid, grid).float()
    distance = 1.0 - reached
    for _ in range(LONGEST_JUMP - 1):
        # One step of dilation in maximum norm; an axis at a time is the same and 9 reads instead of 27.
        for kernel in ((3, 1, 1), (1, 3, 1), (1, 1, 3)):
            padding = tuple(size // 2 for size in kernel)
            reached = nn.functional.max_pool3d(reached, kernel, stride=1, padding=padding)
        distance += 1.0 - reached
    return distance.flatten()
