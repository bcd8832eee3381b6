"""Image quality: PSNR with peak 1, and SSIM."""

import math

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images of equal shape with values in [0, 1]; equal images: inf."""
    error = torch.mean((image.double() - truth.double()) ** 2).item()
    return -10.0 * math.log10(error) if error > 0.0 else math.inf


def ssim(image: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004; 11 x 11 Gaussian window) of images [H, W, 3] in [0, 1]."""
    planes = [picture.permute(2, 0, 1)[None].float() for picture in (image, truth)]
    value = structural_similarity_index_measure(planes[0], planes[1], data_range=1.0)
    assert isinstance(value, Tensor), "a tuple is returned only when contrast or full images are asked for"
    return value.item()
