"""Small scenes for browsers to draw, with what their models answer, and the gate that a picture must pass."""

from functools import cache

import numpy as np
import torch
from svraster_scene import random_model
from test_kernels_voxels import EYES, MODELS, by_graph, filled

from benchmarks.web_scene_page import view_of
from neurocity.cameras import Camera
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.light import Light, over_background, psnr
from neurocity.poses import look_at
from neurocity.svraster.core import SVRaster
from neurocity.svraster.native import scene_data

WIDTH, HEIGHT = 48, 36
BACKGROUND = (1.0, 0.9, 0.8)
LEAST_DB, MOST_STEPS = 100.0, 0.2
"""The gate of floats: PSNR, and the largest error in steps of 1 / 255."""


def camera(eye: str = "outside") -> Camera:
    pose = look_at(EYES[eye], (-0.1, -0.6, 0.8), (0.0, 0.0, 1.0))
    return Camera.from_fov_y(pose, WIDTH, HEIGHT, 60.0)


def level_camera() -> Camera:
    """Rays of its middle row and column run along planes between voxels, and the middle one along an axis."""
    pose = np.eye(4)
    pose[:3, 3] = 0.0, -0.5, 6.0
    return Camera.from_fov_y(pose, 25, 25, 40.0)


def calm_model() -> SVRaster:
    """Colours as trained ones, which change a little with the direction, and no extreme densities."""
    model = random_model(5, depth=5, sh_degree=2).requires_grad_(False)
    model.density.clamp_(-9.0, 2.0)
    model.sh0.mul_(0.5).clamp_(-1.5, 1.5)
    model.shs.mul_(0.05).clamp_(-0.1, 0.1)
    return model


def deep_model() -> SVRaster:
    """Voxels of all sizes down to the smallest ones, which are around the eye of `deep_camera`."""
    levels, cells = [], []
    generator = torch.Generator().manual_seed(2)
    path = torch.zeros(3, dtype=torch.int64)
    octants = torch.cartesian_prod(*[torch.arange(2)] * 3)
    for level in range(1, 17):
        below = path * 2 + octants
        chosen = int(torch.randint(8, (1,), generator=generator))
        kept = torch.rand(8, generator=generator) < 0.7
        kept[chosen] = level == 16
        levels.append(torch.full((int(kept.sum()),), level))
        cells.append(below[kept])
        path = below[chosen]
    model = filled(torch.cat(levels), torch.cat(cells), sh_degree=1, samples_per_voxel=2)
    model.density.copy_(2.0 * torch.randn(len(model.density), generator=generator) - 3.0)
    model.sh0.copy_(torch.randn(model.sh0.shape, generator=generator))
    model.shs.copy_(0.3 * torch.randn(model.shs.shape, generator=generator))
    return model


def deep_camera(model: SVRaster) -> Camera:
    target = (model.voxel_low[:, -1] * model.root_side + model.root_low).numpy().astype(np.float64)
    pose = look_at(target + np.array([0.003, -0.004, 0.002]), target, (0.0, 0.0, 1.0))
    return Camera.from_fov_y(pose, WIDTH, HEIGHT, 70.0)


SCENES = {**MODELS, "deep": deep_model, "calm": calm_model}


@cache
def model_of(name: str) -> SVRaster:
    return SCENES[name]().requires_grad_(False).eval()


def image(light, seen: Camera):
    return light.as_image(seen.height, seen.width)


def arguments_of(seen: Camera) -> list[dict]:
    """The view and the size of its picture."""
    return [view_of(seen), {"width": seen.width, "height": seen.height}]


def over(light) -> np.ndarray:
    return over_background(light.rgb, light.opacity, BACKGROUND)


def deviation(got: np.ndarray, light) -> tuple[float, float]:
    """PSNR and largest error, in steps of a byte, of floats [H, W, 4] over a background."""
    picture, expected = over_background(got[..., :3], got[..., 3], BACKGROUND), over(light)
    return psnr(picture, expected), float(np.abs(picture - expected).max() * 255)


def passes(got: np.ndarray, light) -> bool:
    ratio, steps = deviation(got, light)
    return ratio >= LEAST_DB and steps < MOST_STEPS


@cache
def light_of(name: str, which: str) -> tuple[Camera, Light]:
    """A camera, and the light that the model's graph, which is its definition, gives it."""
    model = model_of(name)
    seen = {"level": level_camera, "deep": lambda: deep_camera(model)}.get(which, lambda: camera(which))()
    # The graph takes its time for many voxels; kernels equal it.
    own = render_rays(open_scene(scene_data(model, np.float32)), seen.rays())
    return seen, image(own if name == "shells" else by_graph(model, seen.rays()), seen)
