"""What an exception is called where it leaves the gateway: one table from exceptions to HTTP statuses."""

from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from neurocity.errors import (
    CameraError,
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    NeuroCityError,
    SceneNotFoundError,
)
from serving.render.admission import OverloadedError
from serving.render.cancel import RenderCancelledError
from serving.render.options import RequestError


class MalformedBodyError(NeuroCityError):
    """A request's body is not valid JSON."""


class UnsupportedMediaTypeError(NeuroCityError):
    """A request's body is not declared as JSON."""


class BodyTooLargeError(HTTPException):
    """A request body is larger than the limit. An HTTPException, because FastAPI parses the body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the request body is larger than the limit of {limit} bytes")


class BodyTimeoutError(HTTPException):
    """A request body did not arrive in time. An HTTPException, because FastAPI parses the body."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"the request's body did not arrive within {seconds:g} s")


class DrainingError(NeuroCityError):
    """This process is about to end and takes no new work, or gives up what it had; another one may do it."""


class UnauthorisedError(NeuroCityError):
    """A request shows neither an API key that is valid nor a link that is signed."""


class ForbiddenSceneError(NeuroCityError):
    """A request's key does not cover the scene that it asks for."""


class CrossSiteError(NeuroCityError):
    """A page of another site embeds what only this site's pages may."""


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP status and how it is explained.

    slug: stable end of the problem's type. meaning: for the description of the API.
    retry_after_seconds: when the same request is worth another try, or None.
    public_detail: what clients are told in place of the exception's text, which stands in the log: the text
        may name addresses and files of the gateway's surroundings. None where clients are told the text.
    """

    code: int
    slug: str
    meaning: str = ""
    retry_after_seconds: int | None = None
    public_detail: str | None = None


_LOG = "the gateway's log says why"
_WRONG_FIELD = "A field is wrong; `errors` names it"

STATUSES: dict[type[Exception], Status] = {
    MalformedBodyError: Status(400, "malformed-body", "Malformed JSON"),
    UnauthorisedError: Status(401, "unauthorised", "No valid API key and no signed link"),
    ForbiddenSceneError: Status(403, "scene-forbidden", "The key does not cover the scene"),
    CrossSiteError: Status(403, "cross-site", "Embedded by a page of another site"),
    SceneNotFoundError: Status(404, "scene-not-found", "Unknown scene; the known ones are listed"),
    BodyTimeoutError: Status(408, "request-timeout", "The body did not arrive in time"),
    BodyTooLargeError: Status(413, "request-entity-too-large", "Body too large"),
    UnsupportedMediaTypeError: Status(415, "unsupported-media-type", "Body not declared as JSON"),
    RequestValidationError: Status(422, "request-not-processable", _WRONG_FIELD),
    RequestError: Status(422, "request-not-processable", _WRONG_FIELD),
    CameraError: Status(422, "camera-not-usable", _WRONG_FIELD),
    RenderCancelledError: Status(499, "client-disconnected", "The client has left; for the log alone"),
    EngineError: Status(
        502,
        "engine-failed",
        "The engine failed",
        public_detail="the engine failed; " + _LOG,
    ),
    DrainingError: Status(503, "shutting-down", "This gateway ends; another may answer", 1),
    EngineUnavailableError: Status(
        503,
        "engine-unavailable",
        "The engine is not available; try again after Retry-After",
        1,
        "the engine is not available now; " + _LOG,
    ),
    OverloadedError: Status(
        503, "overloaded", "The engine is not available or has too much work; try again after Retry-After", 1
    ),
    DeadlineExceededError: Status(504, "deadline-exceeded", "The render did not end in time"),
}
"""Exception -> status. Other exceptions are failures of the gateway itself, `INTERNAL_ERROR`."""

INVALID_REQUEST = Status(400, "bad-request", "The request is not HTTP/1.1")
REQUEST_TIMEOUT = Status(408, "request-timeout", "The request did not arrive in time")
TOO_MANY_CONNECTIONS = Status(503, "too-many-connections", "All connections are busy; try again", 1)
"""Said before there is a request."""

INTERNAL_ERROR = Status(500, "internal-error", "The gateway failed; its log says why")


def status_of(error: Exception) -> Status | None:
    """The status of the nearest class of `error` that is in the table; None when there is none."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)


def retry_after_seconds(error: Exception) -> int | None:
    """When the same request is worth another try: as the error itself says, else as its status does."""
    if isinstance(error, OverloadedError):
        return error.retry_after_seconds
    status = status_of(error)
    return None if status is None else status.retry_after_seconds
