"""The linkable form of a render request: `render.png?eye=3,-3,2&target=0,0,0&fov=45`."""

from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from serving.http.camera_forms import DEFAULT_FOV_Y_DEGREES, RequestModel
from serving.http.schemas import DEFAULT_HEIGHT, DEFAULT_WIDTH, OutputName, RenderRequest

Extension = Literal["png", "jpg", "jpeg", "webp", "npy"]
"""The end of a link; `jpg` and `jpeg` are the same format."""


def _three_numbers(text: str) -> str:
    try:
        numbers = [float(item) for item in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise PydanticCustomError("vector", "expected three numbers as x,y,z")
    return text


VectorText = Annotated[str, AfterValidator(_three_numbers)]


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
        look_at = {
            name: [float(item) for item in text.split(",")]
            for name, text in (("eye", self.eye), ("target", self.target), ("up", self.up))
            if text is not None
        }
        body: dict[str, Any] = {
            "camera": {"look_at": look_at, "fov_y_degrees": self.fov},
            "format": "jpeg" if extension == "jpg" else extension,
            **self.model_dump(include={"width", "height", "output", "background", "quality"}),
        }
        try:
            return RenderRequest.model_validate(body)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise RequestValidationError(
                [{**item, "loc": ("query", query_name(item["loc"]))} for item in details]
            ) from None


def query_name(location: tuple[int | str, ...]) -> str:
    """The query parameter that a location inside a `RenderRequest` comes from."""
    if "fov_y_degrees" in location:
        return "fov"
    return next((str(part) for part in location if part in RenderQuery.model_fields), str(location[0]))
