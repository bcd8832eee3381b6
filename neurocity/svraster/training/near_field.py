"""Places near a camera, which the other cameras hardly see from as near.

Its photograph spreads such a place over many pixels, so that their gradients outweigh those of all other
views, and voxels that seem large against its pixels are split and learn the photograph by heart: fog and torn
pieces before the cameras (Philip and Deschaintre 2023, "Floaters No More"). Within the near distance, a view
counts as if it was farther away.
"""

import torch
from torch import Tensor


def near_distance(centers: Tensor, neighbors: int) -> float:
    """How far a camera's neighbour number `neighbors` is from it, the median over cameras at centers [F, 3].

    Nearer than that, a place is seen from as near by fewer cameras. 0 with `neighbors` 0, and for one camera.
    """
    number = min(neighbors, len(centers) - 1)
    if number < 1:
        return 0.0
    nearest = [torch.linalg.vector_norm(centers - one, dim=1).kthvalue(number + 1).values for one in centers]
    return float(torch.stack(nearest).median())


def gradient_share(distance: Tensor, near: float) -> Tensor:
    """min(1, (distance / near)^2): what counts of gradients [K] that arise at distances [K] from the camera.

    The solid angle of a place, and so the number of pixels that look at it, falls with the square of the
    distance (Philip and Deschaintre 2023, section 4).
    """
    return torch.ones_like(distance) if near == 0.0 else (distance / near).square().clamp_max(1.0)
