"""A small scene of voxels in the format native, for tests of what renders it with the real kernels."""

from pathlib import Path

import numpy as np
import torch
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint, tiny_info
from svraster_scene import random_model

from neurocity.cameras import Camera, Rays
from neurocity.light import Light, over_background
from neurocity.svraster.core import SVRaster

SCENE = "voxels"
CAMERA = Camera.from_view(tiny_info().views[0])
"""Its first view."""


def voxel_model() -> SVRaster:
    """Voxels of many sizes in `TINY_BOUNDS`."""
    return random_model(scene_bounds=TINY_BOUNDS).eval().requires_grad_(False)


def write_repository(repository: Path, *, precision: str = "fp32") -> Path:
    """Export the scene into a model repository, which is returned."""
    checkpoint = tiny_checkpoint(family="svraster", model=voxel_model())
    outcome = export_tiny(repository, "native", checkpoint=checkpoint, name=SCENE, precision=precision)
    assert not outcome.error, outcome.error
    return repository


def light(rays: Rays) -> Light:
    """What the model itself answers."""
    with torch.inference_mode():
        outputs = voxel_model()(*map(torch.from_numpy, rays.arrays()))
    return Light(*(output.numpy() for output in outputs))


def picture(camera: Camera) -> np.ndarray:
    """The model's picture [H, W, 3] over the scene's background."""
    image = light(camera.rays()).as_image(camera.height, camera.width)
    return over_background(image.rgb, image.opacity, tiny_info().background)
