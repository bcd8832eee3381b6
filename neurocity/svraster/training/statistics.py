"""What training sees of voxels, for adaptation to decide by (Sun et al. 2024, section 3.3).

Notation
    N voxels, K intervals of rays, packed; w [K] their weights, g [K] gradients of the loss by them
    T = 1 - (sum of w before an interval)  the light that reaches it;  alpha = w / T
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, distributed

from neurocity.rendering.compositing import running_sum


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelStatistics:
    """Figures [N] of voxels over all rays since the last adaptation; the backward pass adds to them.

    priority: sum of |dL/dalpha alpha|, how much the loss asks for detail. weight: largest compositing weight.
    footprint: smallest width of a pixel at the voxel, world units; infinite where no ray met it.
    """

    priority: Tensor
    weight: Tensor
    footprint: Tensor

    @classmethod
    def zeros(cls, voxels: int, device: torch.device) -> Self:
        """Nothing seen yet."""
        priority, weight = torch.zeros(2, voxels, device=device)
        return cls(priority=priority, weight=weight, footprint=torch.full_like(weight, torch.inf))

    def tensors(self) -> dict[str, Tensor]:
        """The figures by name, as a checkpoint has them."""
        return {"priority": self.priority, "weight": self.weight, "footprint": self.footprint}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])

    def add(
        self,
        voxel: Tensor,
        offsets: Tensor,
        ray_index: Tensor,
        *,
        weights: Tensor,
        gradient: Tensor,
        share: Tensor,
        footprint: Tensor,
    ) -> None:
        """Count packed intervals: voxels, weights, gradients and pixel widths [K], offsets [R + 1].

        share [K]: what counts of the gradients that arise in an interval.

        dL/dalpha is T (g - G), where G is the mean by weight of the g behind: what the passing light meets.
        """
        offered = running_sum(weights)
        left = 1.0 - (offered[1:] - offered.index_select(0, offsets[:-1].index_select(0, ray_index)))
        value = running_sum(gradient * weights)
        behind = value.index_select(0, offsets[1:].index_select(0, ray_index)) - value[1:]
        mean_behind = torch.where(left > 1e-6, behind / left.clamp(min=1e-6), 0.0)
        priority = (share * weights * (gradient - mean_behind)).abs().float()
        # A scaled float16 loss may overflow; its step is skipped.
        self.priority.index_add_(0, voxel, priority.nan_to_num(0.0, 0.0))
        self.weight.scatter_reduce_(0, voxel, weights, "amax")
        seen = torch.where(weights > 0.0, footprint, torch.inf)
        self.footprint.scatter_reduce_(0, voxel, seen, "amin")

    def reduce(self) -> None:
        """In distributed training, join what all processes saw; all of them must call this."""
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(self.priority, distributed.ReduceOp.SUM)
            distributed.all_reduce(self.weight, distributed.ReduceOp.MAX)
            distributed.all_reduce(self.footprint, distributed.ReduceOp.MIN)
