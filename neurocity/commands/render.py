"""`neurocity render`."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from neurocity.cameras import Camera
from neurocity.checkpoint import load_checkpoint
from neurocity.cli import Render
from neurocity.contract import SceneInfo, View
from neurocity.device import check_device
from neurocity.errors import CameraError, ConfigError, DataError
from neurocity.light import Light, over_background, to_bytes
from neurocity.rendering.views import render_rays
from neurocity.world import place_camera

_INTRINSICS = ("width", "height", "fl_x", "fl_y", "cx", "cy")


def run(arguments: Render) -> None:
    """Write the image. Raises CheckpointError, CameraError, ConfigError and DataError."""
    check_device(arguments.device)
    if (arguments.camera is None) == (arguments.view is None):
        raise ConfigError("render needs one of --camera FILE and --view N")
    if arguments.out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ConfigError(f"out: got {arguments.out}, expected a .png, .jpg or .webp file")
    if arguments.depth is not None and arguments.depth.suffix != ".npy":
        raise ConfigError(f"depth: got {arguments.depth}, expected a .npy file")
    for name, path in (("out", arguments.out), ("depth", arguments.depth)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{name}: got {path}, but {path.parent} is not a folder")
    checkpoint = load_checkpoint(arguments.checkpoint, arguments.device)
    camera = (
        _read_camera(arguments.camera, checkpoint.info)
        if arguments.camera is not None
        else Camera.from_view(_find_view(checkpoint.info.views, arguments.view or 0))
    )
    rays = camera.rays(radii=True).arrays()
    render = render_rays(checkpoint.model, *(torch.from_numpy(part).to(arguments.device) for part in rays))
    light = Light(*(plane.cpu().numpy() for plane in render)).as_image(camera.height, camera.width)
    image = over_background(light.rgb, light.opacity, checkpoint.info.background)
    Image.fromarray(to_bytes(image)).save(arguments.out)
    if arguments.depth is not None:
        np.save(arguments.depth, light.depth)


def _find_view(views: tuple[View, ...], index: int) -> View:
    if not 0 <= index < len(views):
        raise ConfigError(f"view: got {index}, the checkpoint has held-out views 0 to {len(views) - 1}")
    return views[index]


def _read_camera(path: Path, info: SceneInfo) -> Camera:
    """The camera of a file, which is in world coordinates, in those of the scene."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a camera ({error})") from None
    expected = ("camera_to_world", *_INTRINSICS)
    if not isinstance(data, dict) or (missing := [key for key in expected if key not in data]):
        lacking = ", ".join(missing) if isinstance(data, dict) else "everything"
        raise DataError(f"{path}: a camera is a JSON object with {', '.join(expected)}; missing: {lacking}")
    try:
        pose = np.array(data["camera_to_world"], dtype=np.float64)
        return place_camera(Camera(camera_to_world=pose, **{key: data[key] for key in _INTRINSICS}), info)
    except (CameraError, TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None
