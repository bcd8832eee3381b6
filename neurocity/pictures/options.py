"""What can be seen of rendered light and how it is encoded; and what cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from neurocity.errors import ConfigError
from neurocity.light import Background
from neurocity.pictures.exr import EXR_MISSING, exr_available

OutputName = Literal["rgb", "depth", "opacity", "normal"]
FormatName = Literal["png", "jpeg", "webp", "npy", "exr"]
ColormapName = Literal["turbo", "viridis", "gray"]
Axes = Literal["world", "camera"]

LOSSY_FORMATS = ("jpeg", "webp")
IMAGE_FORMATS = ("png", *LOSSY_FORMATS)
NUMBER_FORMATS = ("npy", "exr")
"""Formats that hold float32, where those of images hold bytes, or the counts of a depth."""
DEFAULT_QUALITY = 90


class PictureOptionsError(ConfigError):
    """Options of a picture contradict each other, or cannot be met here; `field` names one that is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """What to see and how to encode it.

    output: rgb, depth (distance along the ray, in scene units), opacity, or normal (of the surface that the
        depth describes).
    format: png, jpeg and webp hold bytes, but a depth without colormap is a png of 16 bit; npy and exr hold
        float32.
    background: behind what is not opaque; "scene" stands for the scene's own. exr holds rgb without one.
    quality: of jpeg and webp, 1 to 100; None stands for `DEFAULT_QUALITY`.
    colormap: colours of a depth; near is their bright, or red, end.
    near, far: depths of the ends of the colormap, 0 <= near < far; where they are None, the picture's own.
    axes: of a normal; None stands for the world's.

    Raises PictureOptionsError where these contradict each other.
    """

    output: OutputName = "rgb"
    format: FormatName = "png"
    background: Literal["scene"] | Background = "scene"
    quality: int | None = None
    colormap: ColormapName | None = None
    near: float | None = None
    far: float | None = None
    axes: Axes | None = None

    def __post_init__(self) -> None:
        for field, problem in self._problems():
            raise PictureOptionsError(problem, field)

    def _problems(self) -> Iterator[tuple[str, str]]:
        """The fields that are wrong, and what is."""
        if self.format == "exr" and not exr_available():
            yield "format", EXR_MISSING
        if self.output == "depth" and self.colormap is None and self.format in LOSSY_FORMATS:
            yield "format", f"depth as {self.format} needs a colormap; without one it is png, npy or exr"
        if self.quality is not None and self.format not in LOSSY_FORMATS:
            yield "quality", "quality is for jpeg and webp"
        if self.colormap is not None and self.output != "depth":
            yield "colormap", f"a colormap is for the output depth, not for {self.output}"
        if self.colormap is not None and self.format not in IMAGE_FORMATS:
            yield "colormap", f"a colormap is for png, jpeg and webp; {self.format} holds the depth itself"
        for field in ("near", "far"):
            if getattr(self, field) is not None and self.colormap is None:
                yield field, f"{field} is for a depth with a colormap"
        if self.near is not None and self.near < 0:
            yield "near", f"near is {self.near}, expected a depth of at least 0"
        if self.far is not None and not self.far > (self.near or 0.0):
            yield "far", f"far is {self.far}, expected a depth greater than {self.near or 0.0}"
        if self.axes is not None and self.output != "normal":
            yield "axes", f"axes are for the output normal, not for {self.output}"
        if self.background != "scene" and self.format == "exr":
            yield "background", "exr holds rgb and opacity without a background"


def available_formats() -> tuple[FormatName, ...]:
    """The formats that can be written here."""
    return tuple(name for name in get_args(FormatName) if name != "exr" or exr_available())


def format_of_file(path: Path) -> FormatName:
    """The format that a file's suffix stands for. Raises ConfigError that lists the known ones."""
    name = path.suffix.lower().removeprefix(".")
    if name == "jpg":
        return "jpeg"
    for known in get_args(FormatName):
        if name == known:
            return known
    raise ConfigError(f"got {path}, expected a file that ends in .jpg, .{', .'.join(get_args(FormatName))}")
