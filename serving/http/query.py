"""The linkable form of a render request: `render.png?eye=3,-3,2&target=0,0,0&fov=45`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from serving.http.camera_forms import DEFAULT_FOV_Y_DEGREES, RequestModel
from serving.http.schemas import DEFAULT_HEIGHT, DEFAULT_WIDTH, RenderRequest
from serving.render.options import OutputName

Extension = Literal["png", "jpg", "jpeg", "webp", "npy"]
"""The end of a link; `jpg` and `jpeg` are the same format."""


def _parse_vector(values: Any) -> tuple[float, ...]:
    """The numbers of `x,y,z`; FastAPI gives a tuple's parameter as a list, and the last of it counts."""
    text = values if isinstance(values, str) else values[-1]
    try:
        numbers = tuple(float(item) for item in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise PydanticCustomError("vector", "expected three numbers as x,y,z")
    return numbers


VectorText = Annotated[tuple[float, float, float], PlainValidator(_parse_vector, json_schema_input_type=str)]


class RenderQuery(RequestModel):
    """Query parameters of a link to an image; limits are those of `RenderRequest`."""

    eye: VectorText = Field(examples=["3,-3,2"])
    """Position of the camera, x,y,z in scene units."""
    target: VectorText = Field(examples=["0,0,0"])
    """Position that the camera looks at, x,y,z."""
    up: VectorText | None = None
    """Upwards direction x,y,z; by default the scene's."""
    fov: float = DEFAULT_FOV_Y_DEGREES
    """Vertical field of view in degrees."""
    width: int = DEFAULT_WIDTH
    height: int = DEFAULT_HEIGHT
    output: OutputName = "rgb"
    background: str = "scene"
    """`scene` or a hex colour; `#` may be left out."""
    quality: int | None = None
    """Of jpeg and webp, 1 to 100."""

    def to_request(self, extension: Extension) -> RenderRequest:
        """The same as a `RenderRequest`. Raises RequestValidationError that names query parameters."""
        vectors = {"eye": self.eye, "target": self.target, "up": self.up}
        body: dict[str, Any] = {
            "camera": {"look_at": vectors, "fov_y_degrees": self.fov},
            "format": "jpeg" if extension == "jpg" else extension,
            **self.model_dump(include={"width", "height", "output", "background", "quality"}),
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
