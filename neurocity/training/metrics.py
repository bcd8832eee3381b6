"""Image quality: PSNR with peak 1, SSIM, and LPIPS where its weights are."""

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from neurocity import light
from neurocity.errors import DataError
from neurocity.training.perceptual import lpips


def image_metrics(image: Tensor, truth: Tensor) -> dict[str, float]:
    """`psnr` and `ssim`, and `lpips` where it can be measured, of images [H, W, 3] with values in [0, 1]."""
    metrics = {"psnr": psnr(image, truth), "ssim": ssim(image, truth)}
    perceptual = lpips(image, truth)
    return metrics if perceptual is None else {**metrics, "lpips": perceptual}


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images of equal shape, see `neurocity.light.psnr`."""
    return light.psnr(image.cpu().numpy(), truth.cpu().numpy())


def ssim(image: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004; 11 x 11 Gaussian window) of images [H, W, 3] in [0, 1].

    Raises DataError for images that are smaller than the window.
    """
    if min(image.shape[:2]) < light.SSIM_WINDOW:
        raise DataError(
            f"SSIM needs images of at least {light.SSIM_WINDOW}x{light.SSIM_WINDOW} pixels, got "
            f"{image.shape[1]}x{image.shape[0]}; a smaller downscale would help"
        )
    planes = [picture.permute(2, 0, 1)[None].float() for picture in (image, truth)]
    value = structural_similarity_index_measure(planes[0], planes[1], data_range=1.0)
    assert isinstance(value, Tensor), "a tuple is returned only when contrast or full images are asked for"
    return value.item()
