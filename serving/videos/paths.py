"""The cameras of a film, as its order gives them."""

from neurocity.camera_path.path import CameraPath
from neurocity.camera_path.read import parse_camera_path
from neurocity.contract import SceneInfo
from neurocity.errors import CameraError, DataError
from neurocity.world import place_camera
from serving.render.limits import RequestError
from serving.videos.job import Order
from serving.videos.limits import VideoLimits


def read_path(order: Order, info: SceneInfo, limits: VideoLimits) -> CameraPath:
    """The camera of each frame in world coordinates; blocks.

    Raises RequestError, and CameraError that names the frame when a camera is none, or none of the scene.
    """
    try:
        path = parse_camera_path(
            order.camera_path,
            width=order.width,
            height=order.height,
            frames_per_second=order.frames_per_second,
            up=info.up,
            instant_ngp=order.instant_ngp,
            max_frames=limits.most_frames(),
        )
    except DataError as error:
        raise RequestError(str(error), "camera_path") from None
    except CameraError as error:
        raise CameraError(str(error), "camera_path") from None
    width, height = path.cameras[0].width, path.cameras[0].height
    limits.check(len(path.cameras), width, height)
    for number, camera in enumerate(path.cameras):
        try:
            place_camera(camera, info)
        except CameraError as error:
            raise CameraError(f"frame {number}: {error}", "camera_path") from None
    return path
