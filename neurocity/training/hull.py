"""The visual hull of training images, which bounded scenes start from."""

from typing import Any

from torch import Tensor

from neurocity.data.datasets import TrainingRays
from neurocity.errors import TrainingError
from neurocity.rendering.hull import possible_cells


def visual_hull(rays: TrainingRays, model: Any, *, low: Tensor, side: float, resolution: int) -> Tensor:
    """Cells [resolution^3] bool of a cube, x fastest, that some camera sees and none sees through.

    model: whose `config.scene_bounds` the cube encloses. low [3], side: the cube's low corner and edge, world
    units. Raises TrainingError when there is no such cell.
    """
    possible = possible_cells(rays.alpha_views(), low=low.tolist(), side=side, resolution=resolution)
    if not bool(possible.any()):
        raise TrainingError(
            f"no part of the scene's bounds {model.config.scene_bounds} is seen by the cameras as opaque; "
            "check the bounds and the poses' convention"
        )
    return possible
