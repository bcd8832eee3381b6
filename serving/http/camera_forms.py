"""The three forms in which clients give a camera: a pose matrix, look-at, orbit.

Numbers are finite JSON numbers in scene units, degrees or pixels; unknown fields are errors. Positions are
bounded (`MAX_COORDINATE`) so that float32 rays stay finite.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from neurocity.cameras import Camera
from neurocity.poses import look_at, opencv_to_opengl, orbit
from serving.http.rules import POSE_RULES

MAX_COORDINATE = 1e9
DEFAULT_FOV_Y_DEGREES = 50.0
MAX_UNKNOWN_FIELDS = 8

Number = Annotated[float, Field(strict=True)]
Coordinate = Annotated[Number, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Vector = tuple[Coordinate, Coordinate, Coordinate]
Row = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
FocalLength = Annotated[Number, Field(ge=1e-3, le=MAX_COORDINATE)]
FovY = Annotated[Number, Field(gt=0, lt=180)]


class RequestModel(BaseModel):
    """Base of all request parts: nothing unknown, nothing infinite, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _not_many_fields(cls, value: Any) -> Any:
        """Thousands of unknown fields are one error: each of its own would be found, and told, at length."""
        known = cls.model_fields
        if isinstance(value, dict) and len(value) > len(known) + MAX_UNKNOWN_FIELDS:
            raise PydanticCustomError(
                "many_fields",
                "got {count} fields, known: {known}",
                {"count": len(value), "known": ", ".join(known)},
            )
        return value


class Intrinsics(RequestModel):
    """Pinhole intrinsics in pixels; the image's centre is (width / 2, height / 2)."""

    fl_x: FocalLength
    fl_y: FocalLength
    cx: Coordinate
    cy: Coordinate


class PoseCamera(RequestModel):
    """A camera given by its pose matrix, with intrinsics or a field of view."""

    model_config = ConfigDict(json_schema_extra=POSE_RULES)

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

    def to_camera(self, width: int, height: int, _up: Sequence[float]) -> Camera:
        """The camera for an image of that size; the scene's up is not needed. Raises CameraError."""
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
