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
    VideoError,
)
from neurocity.pictures.options import PictureOptionsError
from serving.render.admission import OverloadedError
from serving.render.cancel import RenderCancelledError
from serving.render.limits import RequestError
from serving.render.quotas import QuotaExceededError
from serving.scenes.web_folders import WebFileBrokenError, WebFileNotFoundError
from serving.videos.job import Failure
from serving.videos.limits import (
    InterruptedTooOftenError,
    SceneChangedError,
    TooManyVideosError,
    VideoNotFoundError,
    VideoNotReadyError,
    VideosFullError,
    VideosOffError,
)


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


class AdminOnlyError(NeuroCityError):
    """A request's key does not cover what is for operators."""


class CrossSiteError(NeuroCityError):
    """A page of another site embeds what only this site's pages may."""


class TooManyLiveViewsError(NeuroCityError):
    """A client has as many live views open as one may have."""


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
    AdminOnlyError: Status(403, "admin-only", "The key is no operator's"),
    CrossSiteError: Status(403, "cross-site", "Embedded by a page of another site"),
    SceneNotFoundError: Status(404, "scene-not-found", "Unknown scene; the known ones are listed"),
    WebFileNotFoundError: Status(404, "web-file-not-found", "Unknown file, or no web folder"),
    VideosOffError: Status(404, "videos-off", "No films are made here"),
    VideoNotFoundError: Status(404, "video-not-found", "Unknown film, or another key's"),
    BodyTimeoutError: Status(408, "request-timeout", "The body did not arrive in time"),
    VideoNotReadyError: Status(409, "video-not-ready", "The film is not done"),
    SceneChangedError: Status(
        409, "scene-changed", "The version of the scene is gone; in a film's `error` alone"
    ),
    BodyTooLargeError: Status(413, "request-entity-too-large", "Body too large"),
    UnsupportedMediaTypeError: Status(415, "unsupported-media-type", "Body not declared as JSON"),
    RequestValidationError: Status(422, "request-not-processable", _WRONG_FIELD),
    RequestError: Status(422, "request-not-processable", _WRONG_FIELD),
    PictureOptionsError: Status(422, "request-not-processable", _WRONG_FIELD),
    CameraError: Status(422, "camera-not-usable", _WRONG_FIELD),
    TooManyLiveViewsError: Status(429, "too-many-live-views", "The client has too many live views open", 5),
    QuotaExceededError: Status(
        429, "quota-exceeded", "The key has had its pixels; try again after Retry-After", 1
    ),
    TooManyVideosError: Status(
        429, "too-many-videos", "The client's films wait; try again after Retry-After", 1
    ),
    RenderCancelledError: Status(499, "client-disconnected", "The client has left; for the log alone"),
    VideoError: Status(
        500,
        "film-failed",
        "The film cannot be encoded; in a film's `error` alone",
        public_detail="the film cannot be encoded; " + _LOG,
    ),
    InterruptedTooOftenError: Status(
        500, "interrupted-too-often", "Gateways ended while they made the film; in a film's `error` alone"
    ),
    EngineError: Status(
        502,
        "engine-failed",
        "The engine failed",
        public_detail="the engine failed; " + _LOG,
    ),
    WebFileBrokenError: Status(
        502,
        "web-file-broken",
        "The file is not what was exported",
        public_detail="the file is not what was exported; " + _LOG,
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
    VideosFullError: Status(507, "videos-full", "Films take all the room that they may"),
}
"""Exception -> status. Other exceptions are failures of the gateway itself, `INTERNAL_ERROR`."""

INVALID_REQUEST = Status(400, "bad-request", "The request is not HTTP/1.1")
REQUEST_TIMEOUT = Status(408, "request-timeout", "The request did not arrive in time")
TOO_MANY_CONNECTIONS = Status(503, "too-many-connections", "All connections are busy; try again", 1)
"""Said before there is a request."""

INTERNAL_ERROR = Status(500, "internal-error", "The gateway failed; its log says why")


NORMAL_CLOSURE, UNSUPPORTED_DATA, POLICY_VIOLATION, INTERNAL_FAILURE, SERVICE_RESTART = (
    1000,
    1003,
    1008,
    1011,
    1012,
)
"""Codes of a WebSocket's end; RFC 6455 section 7.4.1 and its registry."""


def status_of(error: Exception) -> Status | None:
    """The status of the nearest class of `error` that is in the table; None when there is none."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)


def retry_after_seconds(error: Exception) -> int | None:
    """When the same request is worth another try: as the error itself says, else as its status does."""
    if isinstance(error, OverloadedError | QuotaExceededError | TooManyVideosError):
        return error.retry_after_seconds
    status = status_of(error)
    return None if status is None else status.retry_after_seconds


def failure_of(error: Exception) -> Failure:
    """What is told of a film that was not made because of that error."""
    status = status_of(error) or INTERNAL_ERROR
    unforeseen = "the gateway failed; " + _LOG if status is INTERNAL_ERROR else None
    detail = status.public_detail or unforeseen or str(error)
    return Failure(status=status.code, slug=status.slug, detail=detail)
