"""A checkpoint's model, by PyTorch or its compiled kernels."""

from pathlib import Path

import torch

from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint
from neurocity.device import check_device
from neurocity.light import Light
from neurocity.rendering.views import render_rays


class CheckpointRenderer:
    """See `Renderer`."""

    def __init__(self, path: Path, device: str) -> None:
        """Raises CheckpointError, and MissingDependencyError when the device is absent."""
        check_device(device)
        checkpoint = load_checkpoint(path, device)
        self.info = checkpoint.info
        self._model = checkpoint.model
        self._device = device

    def render(self, camera: Camera) -> Light:
        """See `Renderer`."""
        rays = camera.rays(radii=self._model.needs_ray_radii).arrays()
        planes = render_rays(self._model, *(torch.from_numpy(part).to(self._device) for part in rays))
        return Light(*(plane.cpu().numpy() for plane in planes)).as_image(camera.height, camera.width)
