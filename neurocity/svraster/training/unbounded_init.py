"""Where an unbounded scene begins: what the training cameras see, as finely as they see it.

Sun et al. 2024, supplement: outside the box, cells that are large against the pixels that see them are split
until there are twice as many cells outside as inside.
"""

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from neurocity.data.datasets import TrainingRays
from neurocity.svraster.config import MAX_LEVELS
from neurocity.svraster.core import SVRaster
from neurocity.svraster.octree import paths
from neurocity.svraster.training.adaptation import AdaptationPlan, plan

RAYS: Final = 2**18
"""Training rays that are followed: enough that few voxels which a camera sees are missed."""
CHUNK: Final = 2**13
"""Rays of a call; their intervals stay within some hundred MiB."""
OUTSIDE_PER_INSIDE: Final = 2.0
SHARE: Final = 0.1
"""Share of the outside voxels that is split at a time."""
CLEAR_DEPTH: Final = 0.01
"""Optical depth across an untrained voxel."""


@torch.no_grad()
def footprints(model: SVRaster, rays: TrainingRays, near: float) -> Tensor:
    """Smallest radius of a pixel's cone at each voxel [N] over many training rays; else infinite.

    Cameras within the distance `near` count as if they were that far away.
    """
    smallest = torch.full((len(model.voxel_level),), torch.inf, device=model.voxel_level.device)
    for step in range(RAYS // CHUNK):
        batch = rays.batch(-1 - step, CHUNK)
        intervals = model.traverse(batch["ray_origins"].t(), batch["ray_directions"].t())
        middle = (intervals.near + intervals.far) * 0.5
        radius = middle.clamp_min(near) * batch["ray_radii"][:, 0].index_select(0, intervals.ray_index)
        smallest.scatter_reduce_(0, intervals.voxel, radius, "amin")
    return smallest


def uncover(model: SVRaster, rays: TrainingRays, near: float) -> Iterator[AdaptationPlan]:
    """Changes to apply one after another: unseen voxels go, and those outside the box are split.

    near: distance within which cameras count as if they were that far away; they may be outside of the box.
    """
    while True:
        radius = footprints(model, rays, near)
        seen = radius.isfinite()
        center = model.voxel_low + 0.5 / model.voxel_scale
        inside = (center - 0.5).abs().amax(0) < 0.5 ** (model.config.bounds_level + 1)  # the box's cube
        rate = torch.where(seen & ~inside, 1.0 / (model.voxel_scale * radius), 0.0)
        rate[model.voxel_level >= model.config.octree_levels] = 0.0
        outside = int((seen & ~inside).sum())
        wanted = OUTSIDE_PER_INSIDE * int((seen & inside).sum()) - outside
        number = min(math.ceil(SHARE * outside), int((rate > 0.0).sum())) if wanted > 0 else 0
        split = torch.zeros_like(seen)
        split[rate.topk(number).indices] = True
        yield plan(model, seen, split)
        if number == 0:
            return


@torch.no_grad()
def begin_clear(model: SVRaster, points: Tensor | None) -> None:
    """Make voxels of all sizes almost clear, and those around sparse world points [P, 3] half opaque."""
    every = torch.arange(len(model.voxel_level), device=model.voxel_level.device)
    sparse = torch.zeros(0, 3) if points is None else points
    half = math.log(2.0)
    for voxels, depth, rule in ((every, CLEAR_DEPTH, "amin"), (_around(model, sparse), half, "amax")):
        activated = depth * model.voxel_scale[voxels] / (model.density_scale * model.root_side)
        # The inverse of the activation.
        raw = torch.where(activated > 1.1, activated, 1.1 * (activated.log() + 0.904689820196))
        corners = model.voxel_points[voxels].flatten().long()
        model.density.scatter_reduce_(0, corners, raw.repeat_interleave(8), rule)


def _around(model: SVRaster, points: Tensor) -> Tensor:
    """The voxels that world points [P, 3] are in."""
    unit = model.to_unit(points.to(model.root_low.device).t()).t()
    unit = unit[((unit >= 0.0) & (unit < 1.0)).all(1)]
    shift = 3 * (MAX_LEVELS - model.voxel_level)
    path = paths(model.voxel_cell)
    begins, order = (path << shift).sort()
    fine = paths((unit * 2**MAX_LEVELS).long())
    place = torch.searchsorted(begins, fine, right=True) - 1
    voxel = order[place.clamp(min=0)]
    return voxel[(place >= 0) & (fine >> shift[voxel] == path[voxel])].unique()
