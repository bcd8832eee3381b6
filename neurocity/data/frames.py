"""Frames of a `transforms.json` document: image, mask, focal length, principal point, lens and pose."""

import math
from pathlib import Path
from typing import Any

from neurocity.cameras import Camera
from neurocity.data.documents import TransformsDocument
from neurocity.data.images import ImageInfo, find_image, probe
from neurocity.data.reading import Reading
from neurocity.data.scene import Frame, naming
from neurocity.errors import DataError
from neurocity.lenses import Lens, lens_of

_COEFFICIENTS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""In the order of nerfstudio's `distortion_params`."""

_UNSUPPORTED = (
    *(f"ftheta_p{i}" for i in range(5)),
    *("latlong", "equirectangular", "orthographic", "rolling_shutter", "fisheye_crop_radius"),
    *("from_mitsuba", "white_transparent", "black_transparent", "transform_matrix_start"),
)
"""Keys that change what a pixel or a ray is; a file that sets one must not be read as if it did not."""


def read_frames(document: TransformsDocument, reading: Reading) -> dict[str, Frame]:
    """The frames by their `file_path`, in the file's order.

    Raises DataError, naming file and frame, on a frame without image, pose or intrinsics, and on images of
    different sizes where the frames do not state their own.
    """
    frames: dict[str, Frame] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for entry in document.frames:
        name = entry["file_path"]
        with naming(document.label(entry)):
            image_path = find_image(document.path.parent / name)
            image = probe(image_path)
            sizes[name] = (image.width, image.height)
            first = next(iter(sizes))
            if sizes[name] != sizes[first] and not ("w" in entry and "h" in entry):
                raise DataError(
                    f"image is {image.width}x{image.height} pixels, that of frame {first!r} is "
                    f"{sizes[first][0]}x{sizes[first][1]}; images of different sizes need w, h in every frame"
                )
            frames[name] = Frame(
                name=name.removeprefix("./"),
                image_path=image_path,
                camera=_camera(document, entry, image, downscale=reading.downscale),
                has_alpha=image.has_alpha,
                downscale=reading.downscale,
                mask_path=_mask_path(document, entry),
            )
    return frames


def _mask_path(document: TransformsDocument, entry: dict[str, Any]) -> Path | None:
    if entry.get("mask_path") is None:
        return None
    path = document.path.parent / str(entry["mask_path"])
    if not path.is_file():
        raise DataError(f"`mask_path` {path} is missing")
    return path


def _camera(
    document: TransformsDocument, frame: dict[str, Any], image: ImageInfo, *, downscale: int
) -> Camera:
    """The camera of `frame`, whose image file is `image`, at the file's size divided by `downscale`.

    The focal length of an axis is the first of `x_fov` (degrees), `fl_x` (pixels), `camera_angle_x` (radians)
    that is there, as in instant-ngp; with one axis given, both are equal. The principal point defaults to the
    image's centre. Raises DataError or CameraError on anything missing, malformed or not supported.
    """
    for key in _UNSUPPORTED:
        value = document.get(key, frame)
        if value and (not isinstance(value, list) or any(value)):
            raise DataError(f"`{key}` is {value!r}, which is not supported; convert the images")
    for key, actual in (("w", image.width), ("h", image.height)):
        stated = document.number(key, frame)
        if stated is not None and stated != actual:
            raise DataError(
                f"`{key}` is {stated:g}, but the image is {image.width}x{image.height} pixels; "
                "resize the images to the stated size, or scale the intrinsics to theirs"
            )
    fl_x, fl_y = _focal(document, frame, "x", image.width), _focal(document, frame, "y", image.height)
    if fl_x is None and fl_y is None:
        raise DataError("has no focal length, expected fl_x, camera_angle_x or x_fov")
    cx, cy = document.number("cx", frame), document.number("cy", frame)
    return Camera(
        lens=_lens(document, frame),
        camera_to_world=document.pose(frame),
        width=image.width,
        height=image.height,
        fl_x=fl_x or fl_y or 0.0,
        fl_y=fl_y or fl_x or 0.0,
        cx=0.5 * image.width if cx is None else cx,
        cy=0.5 * image.height if cy is None else cy,
    ).downscaled(downscale)


def _focal(document: TransformsDocument, frame: dict[str, Any], axis: str, size: int) -> float | None:
    degrees = document.number(f"{axis}_fov", frame)
    focal = document.number(f"fl_{axis}", frame)
    radians = document.number(f"camera_angle_{axis}", frame)
    angle = math.radians(degrees) if degrees is not None else None if focal is not None else radians
    if angle is None:
        return focal
    if not 0.0 < angle < math.pi:
        raise DataError(
            f"field of view in {axis} is {math.degrees(angle):g} degrees, "
            "expected more than 0 and less than 180"
        )
    return 0.5 * size / math.tan(0.5 * angle)


def _lens(document: TransformsDocument, frame: dict[str, Any]) -> Lens:
    values = {name: document.number(name, frame) or 0.0 for name in _COEFFICIENTS}
    listed = document.get("distortion_params", frame)
    if listed is not None:
        given = document.array("`distortion_params` (k1 k2 k3 k4 p1 p2)", listed, (6,))
        values = dict(zip(_COEFFICIENTS, given.tolist(), strict=True))
    model = document.get("camera_model", frame)
    fisheye = bool(document.get("is_fisheye", frame))
    if model is None:
        model = "OPENCV_FISHEYE" if fisheye else "OPENCV"
    elif fisheye and "FISHEYE" not in str(model):
        raise DataError(f"`is_fisheye` contradicts `camera_model` {model!r}")
    return lens_of(str(model), values)
