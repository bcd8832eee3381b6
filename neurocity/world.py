"""World coordinates, which are the user's, and scene coordinates, which everything inside is in.

    scene = world - origin

The origin of a scene is zero unless its capture is georeferenced (`neurocity.data.origin` chooses it).
Datasets, camera files, HTTP requests and answers speak world coordinates. Scenes, models, checkpoints and
manifests speak scene coordinates and carry the origin. It is taken off in float64, before rays are made.
"""

import math
from dataclasses import replace

from neurocity.cameras import Camera
from neurocity.contract import SceneInfo, View
from neurocity.errors import CameraError

Origin = tuple[float, float, float]
"""World coordinates of the point that is zero in a scene."""

_Box = tuple[float, float, float, float, float, float]

FAR_DIAGONALS = 100.0
"""How many diagonals of a scene's box away a camera may stand, wherever the origin is."""


def camera_to_scene(camera: Camera, origin: Origin) -> Camera:
    """A camera in world coordinates as one in scene coordinates; itself where the origin is zero."""
    x, y, z = origin
    return _moved(camera, (-x, -y, -z))


def box_to_scene(box: _Box, origin: Origin) -> _Box:
    """A box (x0, y0, z0, x1, y1, z1) in world coordinates as one in scene coordinates."""
    x, y, z = origin
    x0, y0, z0, x1, y1, z1 = box
    return (x0 - x, y0 - y, z0 - z, x1 - x, y1 - y, z1 - z)


def place_camera(camera: Camera, info: SceneInfo) -> Camera:
    """A camera that a user gave in world coordinates, in those of the scene.

    Raises CameraError (field `eye`) when the scene has an origin and the camera stands so far away that it
    must be in other coordinates: further than half the way to zero, and than `FAR_DIAGONALS`.
    """
    inside = camera_to_scene(camera, info.origin)
    if not any(info.origin):
        return inside
    low, high = info.bounds[:3], info.bounds[3:]
    middle = [0.5 * (a + b) for a, b in zip(low, high, strict=True)]
    distance = math.dist(inside.position, middle)
    if distance > max(0.5 * math.hypot(*info.origin), FAR_DIAGONALS * math.dist(low, high)):
        box = ", ".join(f"{value:.3f}" for value in bounds_in_world(info))
        raise CameraError(
            f"the camera stands {distance:.0f} units away from the scene; cameras are given in world "
            f"coordinates, in which the scene's box is ({box})",
            "eye",
        )
    return inside


def bounds_in_world(info: SceneInfo) -> _Box:
    """The box of a scene in world coordinates."""
    x, y, z = info.origin
    return box_to_scene(info.bounds, (-x, -y, -z))


def views_in_world(info: SceneInfo) -> tuple[View, ...]:
    """The held-out views of a scene in world coordinates."""
    return tuple(_moved(Camera.from_view(view), info.origin).to_view(view.name) for view in info.views)


def _moved(camera: Camera, offset: Origin) -> Camera:
    if not any(offset):
        return camera
    pose = camera.camera_to_world.copy()
    pose[:3, 3] += offset
    return replace(camera, camera_to_world=pose)
