"""What clients send: a camera, the size of the image, what to see and how to encode it."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from serving.http.camera_forms import CameraForm, RequestModel
from serving.render.options import FormatName, OutputName, RenderOptions, format_problem, quality_problem

Pixels = Annotated[int, Field(strict=True, ge=1)]
Quality = Annotated[int, Field(strict=True, ge=1, le=100)]

DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480


def parse_background(value: Any) -> Literal["scene"] | tuple[float, float, float]:
    """`scene`, a hex colour (`#ffcc00`, with or without #) or three numbers in [0, 1]; else an error."""
    if value == "scene":
        return "scene"
    if isinstance(value, str) and re.fullmatch("#?[0-9a-fA-F]{6}", value):
        red, green, blue = bytes.fromhex(value.removeprefix("#"))
        return red / 255, green / 255, blue / 255
    if isinstance(value, list | tuple) and len(value) == 3:
        numbers = [item for item in value if isinstance(item, int | float) and not isinstance(item, bool)]
        if len(numbers) == 3 and all(0 <= item <= 1 for item in numbers):
            return float(numbers[0]), float(numbers[1]), float(numbers[2])
    raise PydanticCustomError(
        "background", 'expected "scene", a hex colour such as "#ffcc00", or three numbers in [0, 1]'
    )


Background = Annotated[
    Literal["scene"] | tuple[float, float, float],
    PlainValidator(parse_background),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "scene", "type": "string"},
                {"type": "string", "pattern": "^#?[0-9a-fA-F]{6}$"},
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0, "maximum": 1},
                    "minItems": 3,
                    "maxItems": 3,
                },
            ]
        }
    ),
]

EXAMPLES: dict[str, dict[str, Any]] = {
    "look_at": {
        "camera": {"look_at": {"eye": [3, -3, 2], "target": [0, 0, 0]}, "fov_y_degrees": 45},
        "width": 320,
        "height": 240,
    },
    "orbit": {
        "camera": {"orbit": {"azimuth": 30, "elevation": 25, "radius": 4, "target": [0, 0, 0]}},
        "width": 320,
        "height": 240,
        "background": "#87ceeb",
        "format": "webp",
    },
    "pose": {
        "camera": {
            "camera_to_world": [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]],
            "convention": "opengl",
            "intrinsics": {"fl_x": 300, "fl_y": 300, "cx": 160, "cy": 120},
        },
        "width": 320,
        "height": 240,
        "output": "depth",
        "format": "npy",
    },
}


class RenderRequest(RequestModel):
    """One image: a camera, its size in pixels, what to see and how to encode it."""

    camera: CameraForm
    width: Pixels = DEFAULT_WIDTH
    height: Pixels = DEFAULT_HEIGHT
    output: OutputName = "rgb"
    """rgb, depth (distance along the ray, in scene units) or opacity."""
    background: Background = "scene"
    """Behind what is not opaque: the scene's own background, a hex colour, or [r, g, b] in 0..1."""
    format: FormatName = "png"
    """png (depth: 16 bit, opacity: 8 bit gray), jpeg, webp, or npy (float32)."""
    quality: Quality | None = None
    """Of jpeg and webp; 90 by default."""

    @field_validator("format")
    @classmethod
    def _format_of_output(cls, value: str, info: ValidationInfo) -> str:
        if problem := format_problem(info.data.get("output"), value):
            raise PydanticCustomError("depth_format", problem)
        return value

    @field_validator("quality")
    @classmethod
    def _quality_of_format(cls, value: int | None, info: ValidationInfo) -> int | None:
        if problem := quality_problem(info.data.get("format", "png"), value):
            raise PydanticCustomError("quality_format", problem)
        return value

    def to_options(self) -> RenderOptions:
        """What to see and how to encode it."""
        return RenderOptions(
            output=self.output, format=self.format, background=self.background, quality=self.quality
        )
