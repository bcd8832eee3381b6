"""What goes over the socket of a live view.

From the client, text: a `View` whenever it looks elsewhere, and an `Ack` for each frame when it is drawn.
To the client: frames in binary, `frame_bytes`; problems and the notice that the gateway ends as text.
"""

import json
import struct
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Field, TypeAdapter, ValidationError

from neurocity.cameras import Camera
from neurocity.pictures.options import OutputName, RenderOptions
from serving.errors import MalformedBodyError, Status
from serving.http.camera_forms import CameraForm, RequestModel
from serving.http.schemas import Background, Pixels
from serving.problem import FieldError, problem_of

MOVING_QUALITY = 80
"""Of frames that the next one replaces at once, 1 to 100."""

Number = Annotated[int, Field(strict=True, ge=0, le=2**53)]
"""A whole number that JavaScript holds exactly."""


class View(RequestModel):
    """What the client looks at, and the canvas that it fills."""

    type: Literal["view"]
    id: Number
    """The client's own name of it; frames and problems that answer it have it."""
    camera: CameraForm
    width: Pixels
    height: Pixels
    output: OutputName = "rgb"
    background: Background = "scene"
    format: Literal["jpeg", "webp"] = "jpeg"
    """Of frames while the camera moves; depth comes as png."""
    still_format: Literal["png", "jpeg", "webp"] = "png"
    """Of the full picture's tiles; depth comes as png."""
    anew: bool = False
    """Nobody moves the camera: what is under way is of no use, and the full picture follows at once."""

    def to_camera(self, width: int, height: int, up: tuple[float, float, float]) -> Camera:
        """The camera of that view with another number of pixels. Raises CameraError."""
        return self.camera.to_camera(self.width, self.height, up).resized(width, height)

    def to_options(self, *, moving: bool) -> RenderOptions:
        """How a frame is encoded."""
        wanted = self.format if moving else self.still_format
        if self.output == "depth":
            wanted = "png"
        quality = MOVING_QUALITY if moving and wanted != "png" else None
        return RenderOptions(output=self.output, format=wanted, background=self.background, quality=quality)


class Ack(RequestModel):
    """A frame is drawn; the next one may come. frame: its number."""

    type: Literal["ack"]
    frame: Number


Message = View | Ack
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def read_message(text: str) -> Message:
    """What the client says. Raises MalformedBodyError, and RequestValidationError that names wrong fields."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        if details[0]["type"] == "json_invalid":
            raise MalformedBodyError(f"the message is not valid JSON: {details[0]['msg']}") from None
        raise RequestValidationError(
            [{**item, "loc": ("message", *item["loc"][1:])} for item in details]
        ) from None


def frame_bytes(header: dict[str, Any], image: bytes) -> bytes:
    """A frame: bytes of the header as a big-endian 32-bit number, the header as JSON, the image file."""
    text = json.dumps(header).encode()
    return struct.pack(">I", len(text)) + text + image


def problem_text(
    view: int | None, status: Status, detail: str, errors: list[FieldError], retry_after_seconds: int | None
) -> str:
    """What stands in the way of a view, with the fields that the same problem has over HTTP.

    view: its id; None of a message that is none. retry_after_seconds: when the gateway itself tries again.
    """
    problem = problem_of(status.code, status.slug, detail, errors).model_dump(exclude_none=True)
    return json.dumps(
        {"type": "problem", "id": view, "problem": problem, "retry_after_seconds": retry_after_seconds}
    )


MOVING = json.dumps({"type": "moving"})
"""This gateway ends; another one, or this one when it is back, takes the view on."""
