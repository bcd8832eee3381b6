"""What clients send: a camera in one of three forms, and what to render with it.

Numbers are finite JSON numbers in scene units, degrees or pixels; unknown fields are errors. Positions are
bounded (`MAX_COORDINATE`) so that float32 rays stay finite.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from neurocity.cameras import Camera, look_at, opencv_to_opengl, orbit
from neurocity.errors import CameraError

MAX_COORDINATE = 1e9

Number = Annotated[float, Field(strict=True)]
Coordinate = Annotated[Number, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Vector = tuple[Coordinate, Coordinate, Coordinate]
Row = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
FocalLength = Annotated[Number, Field(ge=1e-3, le=MAX_COORDINATE)]
FovY = Annotated[Number, Field(gt=0, lt=180)]
Pixels = Annotated[int, Field(strict=True, ge=1)]
Quality = Annotated[int, Field(strict=True, ge=1, le=100)]
OutputName = Literal["rgb", "depth", "opacity"]
FormatName = Literal["png", "jpeg", "webp", "npy"]

DEFAULT_FOV_Y_DEGREES = 50.0
DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480
DEFAULT_QUALITY = 90
LOSSY_FORMATS = ("jpeg", "webp")


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


class RequestModel(BaseModel):
    """Base of all request parts: nothing unknown, nothing infinite, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Intrinsics(RequestModel):
    """Pinhole intrinsics in pixels; the image's centre is (width / 2, height / 2)."""

    fl_x: FocalLength
    fl_y: FocalLength
    cx: Coordinate
    cy: Coordinate


class PoseCamera(RequestModel):
    """A camera given by its pose matrix, with intrinsics or a field of view."""

    camera_to_world: Annotated[list[Row], Field(min_length=3, max_length=4)]
    """Row-major 4x4, or its first three rows; translation in scene units."""
    convention: Literal["opengl", "opencv"]
    """Camera axes: opengl looks along -z with y up, opencv looks along +z with y down."""
    intrinsics: Intrinsics | None = None
    fov_y_degrees: FovY | None = None
    """Vertical field of view, instead of intrinsics."""

    @model_validator(mode="after")
    def _one_of_intrinsics_and_fov(self) -> "PoseCamera":
        if (self.intrinsics is None) == (self.fov_y_degrees is None):
            raise PydanticCustomError("camera_lens", "give either intrinsics or fov_y_degrees")
        return self

    def to_camera(self, width: int, height: int, up: Sequence[float]) -> Camera:
        """The camera for an image of that size (`up` is in the pose). Raises CameraError."""
        del up
        matrix = np.array(self.camera_to_world, dtype=np.float64)
        if len(matrix) == 3:
            matrix = np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])
        if self.convention == "opencv":
            matrix = opencv_to_opengl(matrix)
        if self.intrinsics is None:
            assert self.fov_y_degrees is not None
            return Camera.from_fov_y(matrix, width, height, self.fov_y_degrees)
        return Camera(camera_to_world=matrix, width=width, height=height, **self.intrinsics.model_dump())


class LookAt(RequestModel):
    """Where the camera is, what it looks at, and what is upwards (by default the scene's up)."""

    eye: Vector
    target: Vector
    up: Vector | None = None


class LookAtCamera(RequestModel):
    """A camera at a place, looking at another."""

    look_at: LookAt
    fov_y_degrees: FovY = DEFAULT_FOV_Y_DEGREES

    def to_camera(self, width: int, height: int, up: Sequence[float]) -> Camera:
        """The camera for an image of that size; `up` is used where none was given. Raises CameraError."""
        pose = look_at(self.look_at.eye, self.look_at.target, self.look_at.up or up)
        return Camera.from_fov_y(pose, width, height, self.fov_y_degrees)


class Orbit(RequestModel):
    """A place on a sphere around a target; angles in degrees, elevation 90 looks straight down."""

    azimuth: Coordinate
    elevation: Annotated[Number, Field(ge=-90, le=90)]
    radius: Annotated[Number, Field(gt=0, le=MAX_COORDINATE)]
    target: Vector


class OrbitCamera(RequestModel):
    """A camera on a sphere around a target, with the scene's up."""

    orbit: Orbit
    fov_y_degrees: FovY = DEFAULT_FOV_Y_DEGREES

    def to_camera(self, width: int, height: int, up: Sequence[float]) -> Camera:
        """The camera for an image of that size in a scene with that `up`. Raises CameraError."""
        place = self.orbit
        pose = orbit(place.azimuth, place.elevation, place.radius, place.target, up)
        return Camera.from_fov_y(pose, width, height, self.fov_y_degrees)


CAMERA_FORMS = {"camera_to_world": "PoseCamera", "look_at": "LookAtCamera", "orbit": "OrbitCamera"}
"""The field that tells a camera's form -> the tag of that form."""
CAMERA_TAGS = frozenset(CAMERA_FORMS.values())


def _camera_form(value: Any) -> str | None:
    if isinstance(value, RequestModel):
        return type(value).__name__
    forms = [tag for key, tag in CAMERA_FORMS.items() if isinstance(value, dict) and key in value]
    return forms[0] if len(forms) == 1 else None


CameraForm = Annotated[
    Annotated[PoseCamera, Tag("PoseCamera")]
    | Annotated[LookAtCamera, Tag("LookAtCamera")]
    | Annotated[OrbitCamera, Tag("OrbitCamera")],
    Discriminator(
        _camera_form,
        custom_error_type="camera_form",
        custom_error_message="expected an object with exactly one of camera_to_world, look_at, orbit",
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
    quality: Quality | None = Field(default=None, validate_default=True)
    """Of jpeg and webp; 90 by default."""

    @field_validator("format")
    @classmethod
    def _depth_is_lossless(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("output") == "depth" and value in LOSSY_FORMATS:
            raise PydanticCustomError("depth_format", "depth is encoded as png or npy")
        return value

    @field_validator("quality")
    @classmethod
    def _quality_of_lossy_formats(cls, value: int | None, info: ValidationInfo) -> int | None:
        encoding = info.data.get("format", "png")
        if value is not None and encoding not in LOSSY_FORMATS:
            raise PydanticCustomError("quality_format", "quality is for jpeg and webp")
        return DEFAULT_QUALITY if value is None and encoding in LOSSY_FORMATS else value

    def to_camera(self, up: Sequence[float]) -> Camera:
        """The camera in the scene's axes. Raises CameraError whose field is a path inside this request."""
        try:
            return self.camera.to_camera(self.width, self.height, up)
        except CameraError as error:
            raise CameraError(str(error), _request_path(error.field, type(self.camera))) from None


def _request_path(name: str, form: type[BaseModel]) -> str:
    """Where a field that a CameraError names stands in a request with that form of camera."""
    if name in RenderRequest.model_fields:
        return name
    if name in form.model_fields:
        return f"camera.{name}"
    for parent, part in (("intrinsics", Intrinsics), ("look_at", LookAt), ("orbit", Orbit)):
        if parent in form.model_fields and name in part.model_fields:
            return f"camera.{parent}.{name}"
    return "camera"
