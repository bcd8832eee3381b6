"""Subdivision and pruning of voxels (Sun et al. 2024, section 3.3).

Notation
    N voxels, M grid points (voxel corners, shared where they coincide); N', M' after the change; S voxels are
    split into eight

A change is an `AdaptationPlan`: one linear map from the values of old voxels and points to those of new ones.
It applies alike to parameters, to their moments in Adam, and to averaged models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from torch import Tensor
from torch.optim import Optimizer

from neurocity.errors import TrainingError
from neurocity.svraster.core import SVRaster
from neurocity.svraster.octree import cells_of, dense_cells, grid_points
from neurocity.svraster.training.config import SVRasterTrainingConfig
from neurocity.svraster.training.statistics import VoxelStatistics


@dataclass(frozen=True, kw_only=True, eq=False)
class AdaptationPlan:
    """A linear map from old voxels and points to new ones.

    level [N'], cell [N', 3]: the new voxels; parts stand where the whole stood, in the order of octants.
    source [N']: the old voxel that each new one is, or is a part of. changes: whether they differ at all.
    old_point [M']: the old point that each new one is, or -1. split_points [S, 8]: old corners of the voxels
    that are split. midpoints [S, 19]: the new points between them.
    """

    level: Tensor
    cell: Tensor
    source: Tensor
    changes: bool
    old_point: Tensor
    split_points: Tensor
    midpoints: Tensor

    def voxels(self, values: Tensor) -> Tensor:
        """Values of voxels [N, ...] -> [N', ...]: parts copy those of the whole."""
        return values.index_select(0, self.source)

    def points(self, values: Tensor) -> Tensor:
        """Values of points [M] -> [M'].

        Points that were there keep their values. New ones get what trilinear interpolation gives in the voxel
        that is split; voxels that share one agree, for they share the face or edge that it is on.
        """
        _, weights = _midpoints()
        new = values.new_zeros(len(self.old_point))
        # In float64, in which sums of a few float32 numbers come out the same in any order.
        inside = values[self.split_points].double() @ weights.to(values.device).T
        new[self.midpoints] = inside.to(values.dtype)
        return torch.where(self.old_point < 0, new, values[self.old_point.clamp(min=0)])

    def apply(self, model: SVRaster, optimizer: Optimizer | None = None) -> None:
        """Change a model's voxels; carry over its parameters and, if given, their state in the optimiser."""
        replace_voxels(
            model,
            lambda: model.set_voxels(self.level, self.cell),
            optimizer,
            maps={"density": self.points, "sh0": self.voxels, "shs": self.voxels},
        )


@cache
def _midpoints() -> tuple[tuple[tuple[int, ...], tuple[int, ...]], Tensor]:
    """The 19 points that splitting adds to a voxel's 8 corners.

    Returns a part of the voxel and a corner of that part for each, and their trilinear weights of the voxel's
    corners [19, 8].
    """
    octants = dense_cells(2)
    places: dict[tuple[int, ...], tuple[int, int]] = {}
    for part, corner in product(range(8), range(8)):
        halves = tuple((octants[part] + octants[corner]).tolist())
        if 1 in halves:
            places.setdefault(halves, (part, corner))
    shares = torch.tensor(list(places), dtype=torch.float64)[:, None] / 2.0
    weights = torch.where(octants == 1, shares, 1.0 - shares).prod(-1)
    parts, corners = zip(*places.values(), strict=True)
    return (parts, corners), weights


def plan(model: SVRaster, keep: Tensor, split: Tensor) -> AdaptationPlan:
    """Keep the voxels of `keep` [N] bool, and split those of them that `split` [N] bool names."""
    kept = keep.nonzero().flatten()
    parts = torch.where(split[kept], 8, 1)
    source = torch.repeat_interleave(kept, parts)
    is_part = split[source]
    first = torch.repeat_interleave(torch.cumsum(parts, 0) - parts, parts)
    octant = torch.arange(len(source), device=source.device) - first
    cell = model.voxel_cell[source]
    cell = torch.where(is_part[:, None], 2 * cell + cells_of(octant), cell)
    level = model.voxel_level[source] + is_part
    voxel_points, points = grid_points(level, cell)
    old_point = torch.full((len(points),), -1, dtype=torch.int32, device=source.device)
    old_point[voxel_points[~is_part]] = model.voxel_points[source[~is_part]]
    points_of_parts = voxel_points[is_part].view(-1, 8, 8)
    split_points = model.voxel_points[source[is_part][::8]]
    corners = torch.arange(8, device=source.device)
    # The part at a corner of the whole has that corner at the same place.
    old_point[points_of_parts[:, corners, corners]] = split_points
    (part, corner), _ = _midpoints()
    return AdaptationPlan(
        level=level,
        cell=cell,
        source=source,
        changes=len(split_points) > 0 or len(kept) < len(keep),
        old_point=old_point,
        split_points=split_points,
        midpoints=points_of_parts[:, part, corner],
    )


def decide(
    model: SVRaster,
    statistics: VoxelStatistics,
    config: SVRasterTrainingConfig,
    *,
    epoch: int,
    progress: float,
) -> AdaptationPlan:
    """What `config` does at the end of `epoch`, counted from 1, with voxels of which this was seen.

    progress: share of training that is done. Raises TrainingError when no voxel would be left.
    """
    keep = torch.ones_like(model.voxel_level, dtype=torch.bool)
    if config.prunes(epoch, progress):
        rise = min(progress / config.pruning_end, 1.0)
        threshold = config.pruning_threshold + rise * (
            config.final_pruning_threshold - config.pruning_threshold
        )
        keep = statistics.weight >= threshold
        if not bool(keep.any()):
            raise TrainingError(
                f"pruning at the end of epoch {epoch} would leave no voxel: on no ray had one a weight of "
                f"{threshold:.2g}. A smaller learning_rate or pruning_threshold, or a later "
                "pruning_start_epoch, may help"
            )
    split = torch.zeros_like(keep)
    if config.subdivides(epoch, progress):
        part = 0.5 * model.root_side / model.voxel_scale
        eligible = keep & (model.voxel_level < model.config.octree_levels)
        eligible &= part >= config.smallest_voxel * statistics.footprint
        share = 1.0
        if config.subdivisions_before(epoch) >= config.full_subdivisions:
            share = config.subdivision_share
            eligible &= statistics.priority >= config.subdivision_threshold * statistics.priority.max()
        room = max(0, model.config.max_voxels - int(keep.sum())) // 7
        number = min(int(eligible.sum()), int(share * len(keep)), room)
        split[torch.where(eligible, statistics.priority, -1.0).topk(number).indices] = True
    return plan(model, keep, split)


@torch.no_grad()
def replace_voxels(
    model: SVRaster,
    change: Callable[[], None],
    optimizer: Optimizer | None = None,
    *,
    maps: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> None:
    """Call `change`, which makes the model's voxels others, and give the optimiser the new parameters.

    maps: by parameter, from old values to new ones, also of the optimiser's moments; without them, values and
    moments begin anew.
    """
    old = {name: model.get_parameter(name) for name in ("density", "sh0", "shs")}
    change()
    for name, parameter in old.items():
        new = model.get_parameter(name)
        if maps is not None:
            new.copy_(maps[name](parameter))
        if optimizer is None:
            continue
        for group in optimizer.param_groups:
            group["params"] = [new if held is parameter else held for held in group["params"]]
        state = optimizer.state.pop(parameter, {})
        if maps is not None and state:
            optimizer.state[new] = {
                key: maps[name](value) if value.shape == parameter.shape else value
                for key, value in state.items()
            }
