"""What clients send: a camera, the size of the image, what to see and how to encode it."""

import re
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from neurocity.pictures.options import Axes, ColormapName, FormatName, OutputName, RenderOptions
from serving.http.camera_forms import MAX_COORDINATE, CameraForm, Number, RequestModel
from serving.http.rules import PICTURE_RULES


def _whole(value: Any) -> Any:
    """640.0 is a whole number too, for JSON Schema as for many languages."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Pixels = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_whole)]
Quality = Annotated[int, Field(strict=True, ge=1, le=100), BeforeValidator(_whole)]
Near = Annotated[Number, Field(ge=0, le=MAX_COORDINATE)]
Far = Annotated[Number, Field(gt=0, le=MAX_COORDINATE)]

DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480
HEX_COLOUR = "#?[0-9a-fA-F]{6}"


def parse_background(value: Any) -> Literal["scene"] | tuple[float, float, float]:
    """`scene`, a hex colour (`#ffcc00`, with or without #) or three numbers in [0, 1]; else an error."""
    if value == "scene":
        return "scene"
    if isinstance(value, str) and re.fullmatch(HEX_COLOUR, value):
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
                {"type": "string", "pattern": f"^{HEX_COLOUR}$"},
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

    model_config = ConfigDict(json_schema_extra=PICTURE_RULES)

    camera: CameraForm
    width: Pixels = DEFAULT_WIDTH
    height: Pixels = DEFAULT_HEIGHT
    output: OutputName = "rgb"
    """rgb, depth (distance along the ray, in scene units), opacity, or normal (of the depth's surface)."""
    background: Background = "scene"
    """Behind what is not opaque: the scene's own background, a hex colour, or [r, g, b] in 0..1. Not for exr,
    which holds linear rgb and opacity without one."""
    format: FormatName = "png"
    """png (depth: 16 bit, opacity: 8 bit gray), jpeg, webp (a depth needs a colormap), npy, exr (float32)."""
    quality: Quality | None = None
    """Of jpeg and webp; 90 by default."""
    colormap: ColormapName | None = None
    """Colours of a depth as png, jpeg or webp; near is the bright, or red, end."""
    near: Near | None = None
    """Depth at the near end of the colormap; by default that of the picture's nearest pixels but for 1 %."""
    far: Far | None = None
    """Depth at its far end, greater than `near`; by default that of the farthest pixels but for 1 %."""
    axes: Axes | None = None
    """Of a normal: those of the world, or the camera's (x right, y up, z backwards)."""

    def to_options(self) -> RenderOptions:
        """What to see and how to encode it. Raises PictureOptionsError where fields contradict each other."""
        return RenderOptions(**{item.name: getattr(self, item.name) for item in fields(RenderOptions)})
