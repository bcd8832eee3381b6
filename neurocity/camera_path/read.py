"""Camera paths of all formats that are read."""

from pathlib import Path
from typing import Unpack

from neurocity.camera_path import instant_ngp, keyframes, nerfstudio, transforms
from neurocity.camera_path.fields import naming
from neurocity.camera_path.path import CameraPath, Request, Wanted
from neurocity.errors import DataError
from neurocity.pose_files.json_file import read_json

_FORMATS = {
    "nerfstudio's camera_path.json (`camera_path` or `keyframes`, `render_width`)": nerfstudio,
    "transforms.json (`frames`)": transforms,
    "instant-ngp's base_cam.json (`path`)": instant_ngp,
    "NeuroCity's keyframes (`keyframes` with `camera_to_world` or `look_at`)": keyframes,
}
"""In the order in which they are tried."""


def parse_camera_path(data: object, **wanted: Unpack[Wanted]) -> CameraPath:
    """The cameras of a path's frames, in world coordinates, from the JSON value of a file.

    wanted: the fields of `Request`. Raises DataError and CameraError, which name the place in the file
    (`camera_path[3].fov`), on what is not understood, not supported, or too long.
    """
    request = Request(**wanted)
    if isinstance(data, dict):
        for reader in _FORMATS.values():
            if reader.detect(data):
                if request.instant_ngp is not None and reader is not instant_ngp:
                    raise DataError("scale and offset of instant-ngp: are for its base_cam.json alone")
                return reader.read(data, request)
        got = f"an object with {', '.join(map(repr, list(data)[:8])) or 'nothing'}"
    else:
        got = f"a JSON {type(data).__name__}"
    raise DataError(f"is no camera path: got {got}, expected {', '.join(_FORMATS)}")


def read_camera_path(path: Path, **wanted: Unpack[Wanted]) -> CameraPath:
    """The cameras of the path in a file. Raises as `parse_camera_path`, and when the file is not JSON."""
    data = read_json(path)
    with naming(str(path)):
        return parse_camera_path(data, **wanted)
