"""Losses of SVRaster beside the photometric one (Sun et al. 2024, section 3.3 and supplement).

Notation
    R rays; N intervals of all rays, a ray's after another's and front to back, offsets [R + 1]
    w [N]     weight of an interval, what it contributes of the light that reaches the camera
    c [N, 3]  colour of an interval;  C [R, 3] colour of the photograph
    s [N]     where an interval is on its ray, contracted: x up to distance 1, 2 - 1 / x beyond it
    T [R]     transmittance that remains behind a ray's last interval, 1 - sum(w)

These are the definitions; `kernels.voxel_training` computes the two that run over intervals along with light,
and `kernels.variation` the total variation.
"""

from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torchmetrics.functional.image import structural_similarity_index_measure

from neurocity.kernels import variation
from neurocity.rendering import compositing
from neurocity.rendering.compositing import segment_sum
from neurocity.rendering.cpu_kernels import arrays, kernels_apply

EDGES: Final = tuple((corner, corner + bit) for bit in (1, 2, 4) for corner in range(8) if not corner & bit)
"""A voxel's twelve edges as pairs of its corners 000, 001, ..., 111 with x the high bit."""


def color_concentration(weights: Tensor, colors: Tensor, photograph: Tensor, offsets: Tensor) -> Tensor:
    """sum_i w_i |c_i - C|^2 of each ray: pulls what a ray sees, and not only its mean, to the photograph.

    weights [N], taken as constants; colors [N, 3]; photograph [R, 3]; offsets [R + 1] -> [R].
    """
    targets = torch.repeat_interleave(photograph, offsets.diff(), dim=0)
    return segment_sum(weights.detach() * (colors - targets).square().sum(1), offsets)


def contracted(distance: Tensor) -> Tensor:
    """Distances >= 0 in (any) units of 1 -> s in [0, 2)."""
    return torch.where(distance < 1.0, distance, 2.0 - 1.0 / distance.clamp(min=1.0))


def distortion(weights: Tensor, near: Tensor, far: Tensor, offsets: Tensor) -> Tensor:
    """`compositing.distortion` of contracted distances.

    weights, near, far [N]: in units at which the contraction begins; offsets [R + 1] -> [R].
    """
    return compositing.distortion(weights, contracted(near), contracted(far), offsets)


def total_variation(density: Tensor, voxel_points: Tensor) -> Tensor:
    """Sum over voxels of |difference| of raw density along their 12 edges: density [M], corner ids [N, 8]."""
    if kernels_apply(density) and density.dtype == torch.float32:
        total: Tensor = _TotalVariation.apply(density, voxel_points)
        return total
    return define_total_variation(density, voxel_points)


class _TotalVariation(torch.autograd.Function):
    """`define_total_variation` by the compiled kernel, which finds value and slopes at once."""

    @staticmethod
    def forward(ctx: Any, density: Tensor, voxel_points: Tensor) -> Tensor:
        threads = torch.get_num_threads()
        total, slopes = variation.total_variation(*arrays(density, voxel_points), threads=threads)
        ctx.save_for_backward(torch.from_numpy(slopes))
        return density.new_tensor(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return gradient * slopes, None


def define_total_variation(density: Tensor, voxel_points: Tensor) -> Tensor:
    """The definition; arguments as for `total_variation`."""
    corners = density[voxel_points.long()]
    return sum(((corners[:, a] - corners[:, b]).abs().sum() for a, b in EDGES), start=density.new_zeros(()))


def opacity_entropy(opacity: Tensor) -> Tensor:
    """mean T^2 (1 - T)^2: rays should be stopped or let through. opacity [R] -> scalar."""
    return ((1.0 - opacity).square() * opacity.square()).mean()


def remaining_light(opacity: Tensor) -> Tensor:
    """mean T^2: rays should end inside the scene. opacity [R] -> scalar."""
    return (1.0 - opacity).square().mean()


def structural_dissimilarity(images: Tensor, photographs: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004; 11 x 11 Gaussian window, sigma 1.5) of images [B, H, W, 3] in [0, 1]."""
    planes = [pictures.permute(0, 3, 1, 2) for pictures in (images, photographs)]
    similarity = structural_similarity_index_measure(planes[0], planes[1], data_range=1.0)
    assert isinstance(similarity, Tensor), "a tuple is returned only when contrast is asked for"
    return 1.0 - similarity
