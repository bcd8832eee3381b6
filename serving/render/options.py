"""What can be asked of a picture, and what cannot."""

from dataclasses import dataclass
from typing import Literal

from neurocity.errors import NeuroCityError
from neurocity.light import Background

OutputName = Literal["rgb", "depth", "opacity"]
FormatName = Literal["png", "jpeg", "webp", "npy"]
LOSSY_FORMATS = ("jpeg", "webp")
DEFAULT_QUALITY = 90


class RequestError(NeuroCityError):
    """A request is well formed but cannot be met; `field` names the part that is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def format_problem(output: str | None, encoding: str) -> str:
    """What is wrong with that format for that output; empty when nothing is."""
    return "depth is encoded as png or npy" if output == "depth" and encoding in LOSSY_FORMATS else ""


def quality_problem(encoding: str, quality: int | None) -> str:
    """What is wrong with that quality for that format; empty when nothing is."""
    return "quality is for jpeg and webp" if quality is not None and encoding not in LOSSY_FORMATS else ""


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """What to see and how to encode it.

    output: rgb, depth (distance along the ray, in scene units) or opacity.
    format: png (depth: 16 bit, opacity: 8 bit gray), jpeg, webp, or npy (float32); depth is png or npy.
    background: behind what is not opaque; "scene" stands for the scene's own.
    quality: of jpeg and webp, 1 to 100; None stands for `DEFAULT_QUALITY`.

    Raises RequestError for a format that the output has not, or a quality that the format has not.
    """

    output: OutputName = "rgb"
    format: FormatName = "png"
    background: Literal["scene"] | Background = "scene"
    quality: int | None = None

    def __post_init__(self) -> None:
        if problem := format_problem(self.output, self.format):
            raise RequestError(problem, "format")
        if problem := quality_problem(self.format, self.quality):
            raise RequestError(problem, "quality")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one picture may take.

    max_pixels: of width x height. max_side: of the width and of the height, in pixels.
    """

    max_pixels: int
    max_side: int

    def check(self, width: int, height: int) -> None:
        """Raise RequestError that names the field when a picture is larger."""
        for field, side in (("width", width), ("height", height)):
            if side > self.max_side:
                raise RequestError(f"{field} is {side} pixels, the limit is {self.max_side}", field)
        if width * height > self.max_pixels:
            raise RequestError(
                f"width x height is {width} x {height} = {width * height} pixels, "
                f"the limit is {self.max_pixels}",
                "width",
            )
