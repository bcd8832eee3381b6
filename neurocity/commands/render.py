"""`neurocity render`."""

import json
from pathlib import Path

import numpy as np

from neurocity.cameras import Camera
from neurocity.cli import Render
from neurocity.commands.film import check_film_options, write_film
from neurocity.contract import SceneInfo, View
from neurocity.errors import CameraError, ConfigError, DataError
from neurocity.pictures.encode import encode
from neurocity.pictures.encoded import encode_npy
from neurocity.pictures.options import RenderOptions, format_of_file
from neurocity.publishing import published
from neurocity.renderers.opening import open_renderer
from neurocity.world import place_camera

_INTRINSICS = ("width", "height", "fl_x", "fl_y", "cx", "cy")
_FILM_OPTIONS = ("width", "height", "fps", "seconds", "ngp_scale", "ngp_offset")


def run(arguments: Render) -> None:
    """Write the picture or film.

    Raises CheckpointError, ManifestError, UnsupportedError, CameraError, ConfigError, DataError, EngineError,
    VideoError and MissingDependencyError.
    """
    asked = [arguments.camera, arguments.view, arguments.camera_path]
    if sum(one is not None for one in asked) != 1:
        raise ConfigError("render needs one of --camera FILE, --view N and --camera-path FILE")
    if arguments.camera_path is not None:
        check_film_options(arguments)
        write_film(open_renderer(arguments.path, arguments.device), arguments, arguments.camera_path)
    else:
        _write_picture(arguments, _picture_options(arguments))


def _picture_options(arguments: Render) -> RenderOptions:
    if given := [name for name in _FILM_OPTIONS if getattr(arguments, name) is not None]:
        raise ConfigError(f"{given[0].replace('_', '-')}: is for --camera-path; a camera says its own size")
    if arguments.depth is not None and arguments.depth.suffix != ".npy":
        raise ConfigError(f"depth: got {arguments.depth}, expected a .npy file")
    for name, path in (("out", arguments.out), ("depth", arguments.depth)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{name}: got {path}, but {path.parent} is not a folder")
    return RenderOptions(
        output=arguments.output,
        format=format_of_file(arguments.out),
        quality=arguments.quality,
        colormap=arguments.colormap,
        near=arguments.near,
        far=arguments.far,
    )


def _write_picture(arguments: Render, options: RenderOptions) -> None:
    renderer = open_renderer(arguments.path, arguments.device)
    camera = (
        _read_camera(arguments.camera, renderer.info)
        if arguments.camera is not None
        else Camera.from_view(_find_view(renderer.info.views, arguments.view or 0))
    )
    light = renderer.render(camera)
    _write("out", arguments.out, encode(light, camera, renderer.info, options).data)
    if arguments.depth is not None:
        _write("depth", arguments.depth, encode_npy(light.depth, {}).data)


def _write(option: str, path: Path, content: bytes) -> None:
    try:
        with published(path) as file:
            file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be written ({error.strerror})") from error


def _find_view(views: tuple[View, ...], index: int) -> View:
    if not 0 <= index < len(views):
        raise ConfigError(f"view: got {index}, the scene has held-out views 0 to {len(views) - 1}")
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
