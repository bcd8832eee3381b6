"""`neurocity render --camera-path`."""

import time
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from neurocity.camera_path.fields import naming
from neurocity.camera_path.path import CameraPath, InstantNGPSpace
from neurocity.camera_path.read import read_camera_path
from neurocity.cameras import Camera
from neurocity.cli import Render
from neurocity.contract import SceneInfo
from neurocity.errors import ConfigError
from neurocity.pictures.encode import to_pixels
from neurocity.pictures.options import RenderOptions
from neurocity.renderers.renderer import Renderer
from neurocity.video.film import check_film, open_film
from neurocity.world import place_camera


class _Speed(ProgressColumn):
    """Frames per second, once there are some."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def check_film_options(arguments: Render) -> None:
    """Raises ConfigError on what cannot be a film, before a model is opened."""
    width, height, rate = (
        1 if value is None else value for value in (arguments.width, arguments.height, arguments.fps)
    )
    check_film(arguments.out, int(width), int(height), rate, arguments.quality)
    if arguments.depth is not None:
        raise ConfigError("depth: is for one picture, not for a film; ask for --output depth")


def write_film(renderer: Renderer, arguments: Render, file: Path) -> None:
    """Render the path of `file` and write the film, with a progress bar.

    Raises DataError and CameraError when the path cannot be read or leads out of the scene's coordinates,
    ConfigError on a size that no film has, EngineError, and VideoError.
    """
    path = _read(file, arguments, renderer.info)
    cameras = _placed(path.cameras, renderer.info, file)
    options = _picture_options(arguments, cameras, renderer.info)
    first, begin = cameras[0], time.perf_counter()
    columns = BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn()
    console = Console(stderr=True)
    with (
        open_film(
            arguments.out, first.width, first.height, path.frames_per_second, arguments.quality
        ) as film,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for camera in progress.track(cameras, description="rendering"):
            pixels, _ = to_pixels(renderer.render(camera), camera, renderer.info, options)
            film.write(pixels)
    seconds = time.perf_counter() - begin
    console.print(
        f"{arguments.out}: {len(cameras)} frames of {first.width}x{first.height} at "
        f"{path.frames_per_second:g} frames/s, in {seconds:.1f} s ({len(cameras) / seconds:.2f} frames/s)",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def _read(file: Path, arguments: Render, info: SceneInfo) -> CameraPath:
    usual, space = InstantNGPSpace(), None
    if arguments.ngp_scale is not None or arguments.ngp_offset is not None:
        space = InstantNGPSpace(
            scale=usual.scale if arguments.ngp_scale is None else arguments.ngp_scale,
            offset=arguments.ngp_offset or usual.offset,
        )
    return read_camera_path(
        file,
        width=arguments.width,
        height=arguments.height,
        frames_per_second=arguments.fps,
        seconds=arguments.seconds,
        up=info.up,
        instant_ngp=space,
    )


def _picture_options(arguments: Render, cameras: list[Camera], info: SceneInfo) -> RenderOptions:
    """What each frame shows. Colours of depth have one range in all frames, as they would flicker else."""
    if arguments.output != "depth":
        return RenderOptions(
            output=arguments.output, colormap=arguments.colormap, near=arguments.near, far=arguments.far
        )
    corners = np.array(list(product(*zip(info.bounds[:3], info.bounds[3:], strict=True))))
    farthest = max(float(np.linalg.norm(corners - camera.position, axis=1).max()) for camera in cameras)
    return RenderOptions(
        output="depth",
        colormap=arguments.colormap or "turbo",
        near=arguments.near or 0.0,
        far=farthest if arguments.far is None else arguments.far,
    )


def _placed(cameras: tuple[Camera, ...], info: SceneInfo, file: Path) -> list[Camera]:
    """Cameras in scene coordinates. Raises CameraError, which names the frame, on one that is far away."""
    placed = []
    for frame, camera in enumerate(cameras):
        with naming(f"{file}: frame {frame}"):
            placed.append(place_camera(camera, info))
    return placed
