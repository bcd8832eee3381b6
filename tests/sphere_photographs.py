"""A data set with a known answer: photographs of an opaque sphere, coloured by its normals, on transparency.

Red, green and blue grow with the x, y and z of the normal, so that a flipped or swapped axis changes colours.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from neurocity.cameras import Camera
from neurocity.poses import orbit

CENTER = np.array([0.1, -0.2, 0.15])
RADIUS = 0.8
SIZE = 20
FOV_DEGREES = 40.0
COUNTS = {"train": 18, "val": 2, "test": 2}
_SAMPLES_PER_AXIS = 3


def cameras(split: str) -> list[Camera]:
    """Cameras on spirals around the sphere, other ones in each split."""
    count, phase = COUNTS[split], {"train": 0.0, "val": 0.37, "test": 0.71}[split]
    heights = np.linspace(-40.0, 65.0, count) if count > 2 else np.array([-10.0, 35.0])
    return [
        Camera.from_fov_y(
            orbit(137.5 * (index + phase), float(height) + 5.0 * phase, 4.0), SIZE, SIZE, FOV_DEGREES
        )
        for index, height in enumerate(heights)
    ]


def photograph(camera: Camera) -> np.ndarray:
    """uint8 [H, W, 4] with straight alpha; a pixel is the mean of 3 x 3 rays."""
    n = _SAMPLES_PER_AXIS
    origins, directions = camera.resized(n * camera.width, n * camera.height).rays().arrays()
    away = origins.astype(np.float64) - CENTER
    along = (away * directions).sum(-1)
    discriminant = along**2 - (away**2).sum(-1) + RADIUS**2
    hit = discriminant > 0
    distance = -along - np.sqrt(np.maximum(discriminant, 0.0))
    color = 0.5 + 0.5 * (away + distance[:, None] * directions) / RADIUS
    blocks = (camera.height, n, camera.width, n)
    covered = hit.reshape(blocks).mean(axis=(1, 3))
    light = (color * hit[:, None]).reshape(*blocks, 3).mean(axis=(1, 3))
    straight = light / np.maximum(covered, 1e-9)[..., None]
    pixels = np.concatenate([straight, covered[..., None]], axis=-1)
    return np.rint(255.0 * pixels.clip(0.0, 1.0)).astype(np.uint8)


def write_photographs(root: Path) -> Path:
    """The data set in the Blender synthetic layout; returns its folder."""
    for split in COUNTS:
        frames = []
        (root / split).mkdir(parents=True)
        for index, camera in enumerate(cameras(split)):
            name = f"{split}/r_{index}"
            Image.fromarray(photograph(camera)).save(root / f"{name}.png")
            frames.append({"file_path": f"./{name}", "transform_matrix": camera.camera_to_world.tolist()})
        document = {"camera_angle_x": np.radians(FOV_DEGREES), "frames": frames}
        (root / f"transforms_{split}.json").write_text(json.dumps(document))
    return root
