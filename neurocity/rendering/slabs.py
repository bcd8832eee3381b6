"""Where rays meet boxes: the slab test, from the depths at which they meet the planes of its sides."""

from typing import Final

import torch
from torch import Tensor

SMALLEST_COMPONENT: Final = 1e-9
"""Direction components nearer to zero are taken as this large, which keeps the slab test finite."""


def finite_inverse(directions: Tensor, smallest: float = SMALLEST_COMPONENT) -> Tensor:
    """Inverses of direction components, of any shape."""
    small = torch.where(directions < 0.0, -smallest, smallest)
    return 1.0 / torch.where(directions.abs() < smallest, small, directions)


def slab_span(to_low: Tensor, to_high: Tensor, nearest: float, axis: int) -> tuple[Tensor, Tensor]:
    """Where rays enter a box, not before `nearest`, and where they leave it; a ray that misses leaves first.

    to_low, to_high: depths of the planes of the box's low and high sides, whose three axes are along `axis`.
    """
    begin = torch.minimum(to_low, to_high).amax(axis).clamp_min(nearest)
    return begin, torch.maximum(to_low, to_high).amin(axis)
