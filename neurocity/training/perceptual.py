"""LPIPS, the learned perceptual distance of images (Zhang et al. 2018), where its weights are.

Its linear heads come with torchmetrics. The AlexNet below them has weights of 233 MB, in the file that
torchvision also uses; they are never downloaded here. torchmetrics' own LPIPS wants torchvision for the
AlexNet, whose builds fit one build of torch each; its five layers are written out here instead.

    x  image, channels first, standardised      f_l  features of layer l, unit length over channels
"""

import logging
from functools import cache
from pathlib import Path

import torch
import torchmetrics.functional.image
from torch import Tensor, nn

WEIGHTS_FILE = "alexnet-owt-7be5be79.pth"
"""The file of torchvision's `AlexNet_Weights.IMAGENET1K_V1`."""
MIN_SIDE = 31
"""Images with a shorter side leave AlexNet's last layers nothing."""

_log = logging.getLogger(__name__)


def lpips(image: Tensor, truth: Tensor) -> float | None:
    """LPIPS with AlexNet of images [H, W, 3] in [0, 1]; 0 for equal images.

    None where it cannot be measured: the weights are missing or damaged, or the images are too small. The
    reason, and how to mend it, is logged as a warning, once.
    """
    if min(image.shape[:2]) < MIN_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        _warn_once(f"needs images of at least {MIN_SIDE}x{MIN_SIDE} pixels, got {size}")
        return None
    network = _network(weights_file(), image.device)
    if network is None:
        return None
    planes = [picture.permute(2, 0, 1)[None].float() for picture in (image, truth)]
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        return float(network(*planes))


def weights_file() -> Path:
    """Where AlexNet's weights must lie: in the folder of torch.hub, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE


class PerceptualDistance(nn.Module):
    """Images [1, 3, H, W] in [0, 1] in, their distance out (equation 1): the mean of w_l (f_l - f_l')^2 over
    pixels, summed over layers."""

    shift: Tensor
    scale: Tensor
    WIDTHS = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        # Size, stride and padding of each convolution.
        shapes = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
        layers: list[nn.Module] = []
        for index, (size, stride, padding) in enumerate(shapes):
            if index in (1, 2):
                layers.append(nn.MaxPool2d(3, stride=2))
            inputs = self.WIDTHS[index - 1] if index else 3
            layers += [nn.Conv2d(inputs, self.WIDTHS[index], size, stride, padding), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.heads = nn.ParameterList([torch.zeros(1, width, 1, 1) for width in self.WIDTHS])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])

    def load(self, weights: Path) -> None:
        """Take AlexNet's weights from a file of torchvision, and the heads from torchmetrics."""
        alexnet = torch.load(weights, map_location="cpu", weights_only=True)
        features = {
            name.removeprefix("features."): value
            for name, value in alexnet.items()
            if name.startswith("features.")
        }
        self.features.load_state_dict(features)
        folder = Path(torchmetrics.functional.image.__file__).parent / "lpips_models"
        heads = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
        for index, head in enumerate(self.heads):
            head.data.copy_(heads[f"lin{index}.model.1.weight"])

    def forward(self, image: Tensor, truth: Tensor) -> Tensor:
        x = (2.0 * torch.cat([image, truth]) - 1.0 - self.shift) / self.scale
        distance, heads = x.new_zeros(()), iter(self.heads)
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                f = x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                distance = distance + (next(heads) * (f[:1] - f[1:]).square()).sum(1).mean()
        return distance


@cache
def _network(weights: Path, device: torch.device) -> PerceptualDistance | None:
    if not weights.is_file():
        _warn_once(
            f"AlexNet's weights are missing: put {WEIGHTS_FILE}, which torchvision's "
            f"AlexNet_Weights.IMAGENET1K_V1 names, at {weights} (TORCH_HOME "
            "moves that folder)"
        )
        return None
    network = PerceptualDistance()
    try:
        network.load(weights)
    except Exception as error:  # on foreign bytes the unpickler raises whatever its steps run into
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _warn_once(f"{weights} cannot be read as AlexNet's weights: {reason}; replace the file")
        return None
    return network.requires_grad_(False).eval().to(device)


@cache
def _warn_once(reason: str) -> None:
    _log.warning(f"LPIPS is left out: {reason}")
