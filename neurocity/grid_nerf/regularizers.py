"""Penalties of plane and line features (TensoRF, Chen et al. 2022, section 4.3)."""

import torch
from torch import Tensor

from neurocity.grid_nerf.planes import PlaneLineFeatures


def sparsity(features: PlaneLineFeatures) -> Tensor:
    """Sum over planes and lines of the mean absolute entry in use, a scalar."""
    grids = features.grids_in_use(features.planes, features.lines)
    return torch.stack([grid.abs().mean() for grid in grids]).sum()


def total_variation(features: PlaneLineFeatures) -> Tensor:
    """Sum over planes and lines of the mean squared difference of neighbours along each axis, a scalar."""
    terms = []
    for grid in features.grids_in_use(features.planes, features.lines):
        terms += [(grid[1:] - grid[:-1]).square().mean()]
        if grid.shape[1] > 1:
            terms += [(grid[:, 1:] - grid[:, :-1]).square().mean()]
    return torch.stack(terms).sum()
