"""The linkable form of a render request: `render.png?eye=3,-3,2&target=0,0,0&fov=45`."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import Field, PlainValidator, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from neurocity.pictures.options import Axes, ColormapName, OutputName
from serving.http.camera_forms import DEFAULT_FOV_Y_DEGREES, MAX_COORDINATE, RequestModel
from serving.http.schemas import DEFAULT_HEIGHT, DEFAULT_WIDTH, HEX_COLOUR, RenderRequest

Absent = SkipJsonSchema[None]
"""A parameter may be left out; there is no text that stands for null."""

Extension = Literal["png", "jpg", "jpeg", "webp", "npy", "exr"]
"""The end of a link; `jpg` and `jpeg` are the same format."""

SceneVersionNumber = Annotated[
    Annotated[int, Field(ge=1)] | Absent,
    Query(alias="version", description="Version of the scene; the newest without."),
]
"""The type of a route's parameter that receives which version of a scene is meant."""


_SMALL, _LARGE = r"([0-9]{1,9}(\.[0-9]*)?|\.[0-9]+)([eE]-[0-9]{1,3})?", r"[0-9](\.[0-9]*)?[eE]\+?0?[0-8]"
_NUMBER = f" *-?({_SMALL}|{_LARGE}) *"
"""A decimal number whose digits show that it is within `MAX_COORDINATE`."""
VECTOR = f"{_NUMBER},{_NUMBER},{_NUMBER}"


def _parse_vector(values: Any) -> tuple[float, ...]:
    """The numbers of `x,y,z`; FastAPI gives a tuple's parameter as a list, and the last of it counts."""
    text = values if isinstance(values, str) else values[-1]
    if not re.fullmatch(VECTOR, text):
        raise PydanticCustomError("vector", "expected three numbers as x,y,z, finite and of less than 1e9")
    return tuple(float(item) for item in text.split(","))


VectorText = Annotated[
    tuple[float, float, float],
    PlainValidator(_parse_vector, json_schema_input_type=Annotated[str, Field(pattern=f"^{VECTOR}$")]),
]


class RenderQuery(RequestModel):
    """Query parameters of a link to an image; limits are those of `RenderRequest`."""

    eye: VectorText = Field(examples=["3,-3,2"])
    """Position of the camera, x,y,z in scene units."""
    target: VectorText = Field(examples=["0,0,0"])
    """Position that the camera looks at, x,y,z."""
    up: VectorText | Absent = None
    """Upwards direction x,y,z; by default the scene's."""
    fov: float = Field(DEFAULT_FOV_Y_DEGREES, gt=0, lt=180)
    """Vertical field of view in degrees."""
    width: int = Field(DEFAULT_WIDTH, ge=1)
    height: int = Field(DEFAULT_HEIGHT, ge=1)
    version: Annotated[int, Field(ge=1)] | Absent = None
    """Of the scene; the newest without."""
    output: OutputName = "rgb"
    background: str = Field("scene", json_schema_extra={"pattern": f"^(scene|{HEX_COLOUR})$"})
    """`scene` or a hex colour; `#` may be left out. Not for exr."""
    quality: Annotated[int, Field(ge=1, le=100)] | Absent = None
    """Of jpeg and webp, 1 to 100."""
    colormap: ColormapName | Absent = None
    """Colours of a depth as png, jpeg or webp."""
    near: Annotated[float, Field(ge=0, le=MAX_COORDINATE)] | Absent = None
    """Depth at the near end of the colormap, its bright or red one."""
    far: Annotated[float, Field(gt=0, le=MAX_COORDINATE)] | Absent = None
    """Depth at the far end of the colormap."""
    axes: Axes | Absent = None
    """Of a normal; world by default."""

    def to_request(self, extension: Extension) -> RenderRequest:
        """The same as a `RenderRequest`. Raises RequestValidationError that names query parameters."""
        vectors = {"eye": self.eye, "target": self.target, "up": self.up}
        body: dict[str, Any] = {
            "camera": {"look_at": vectors, "fov_y_degrees": self.fov},
            "format": "jpeg" if extension == "jpg" else extension,
            **self.model_dump(exclude={*vectors, "fov", "version"}),
        }
        try:
            return RenderRequest.model_validate(body)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise RequestValidationError(
                [{**item, "loc": ("query", self.parameter(item["loc"]))} for item in details]
            ) from None

    @classmethod
    def parameter(cls, location: Sequence[int | str]) -> str:
        """The parameter that a location inside the `RenderRequest` comes from."""
        if "fov_y_degrees" in location:
            return "fov"
        return next((str(part) for part in location if part in cls.model_fields), str(location[0]))
