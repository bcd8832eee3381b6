"""Every error as `application/problem+json` (RFC 9457); `STATUSES` maps exceptions to statuses, once."""

import http
import logging
from collections.abc import Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from neurocity.errors import (
    CameraError,
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    NeuroCityError,
    SceneNotFoundError,
)
from serving.http.camera_forms import CAMERA_TAGS

log = logging.getLogger("neurocity.serving")

PROBLEM_TYPE = "urn:neurocity:problem:"
RETRY_AFTER_SECONDS = "1"


class RequestError(NeuroCityError):
    """A request is well formed but cannot be met; `field` names the part that is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class ClientDisconnectedError(NeuroCityError):
    """The client left before its render ended; nobody reads the answer, the log shows 499."""


class BodyTooLargeError(HTTPException):
    """A request body is larger than the limit. An HTTPException, because FastAPI parses the body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the request body is larger than the limit of {limit} bytes")


STATUSES: dict[type[Exception], tuple[int, str]] = {
    RequestError: (422, "request-not-processable"),
    CameraError: (422, "camera-not-usable"),
    SceneNotFoundError: (404, "scene-not-found"),
    ClientDisconnectedError: (499, "client-disconnected"),
    EngineError: (502, "engine-failed"),
    EngineUnavailableError: (503, "engine-unavailable"),
    DeadlineExceededError: (504, "deadline-exceeded"),
}
"""Exception -> status and problem type; a subclass is found before its base."""


class FieldError(BaseModel):
    """One wrong field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` names the wrong fields, when fields are wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": f"{PROBLEM_TYPE}request-not-processable",
                    "title": "Request not processable",
                    "status": 422,
                    "detail": "width is 100000 pixels, the limit is 8192",
                    "errors": [{"field": "width", "message": "width is 100000 pixels, the limit is 8192"}],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


def problem_response(
    status: int,
    slug: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer for a failed request; `slug` is the stable end of the problem's type."""
    problem = Problem(
        type=PROBLEM_TYPE + slug,
        title=slug.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        errors=list(errors),
    )
    return JSONResponse(
        problem.model_dump(), status_code=status, headers=headers, media_type="application/problem+json"
    )


def install_error_handlers(app: FastAPI) -> None:
    """Let every error of `app`, known or not, leave as problem+json."""
    app.add_exception_handler(NeuroCityError, _domain_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _unexpected_problem)


async def _domain_problem(_: Request, error: Exception) -> JSONResponse:
    kind = next((kind for kind in type(error).__mro__ if kind in STATUSES), None)
    if kind is None:
        raise error  # not of a request's making: leaves as an unexpected failure, with its traceback logged
    status, slug = STATUSES[kind]
    message = str(error)
    if isinstance(error, CameraError | RequestError):
        errors = [FieldError(field=error.field, message=message)]
        return problem_response(status, slug, message, errors=errors)
    if status >= 500:
        log.warning("problem=%s detail=%r", slug, message)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else None
    return problem_response(status, slug, message, headers=headers)


async def _validation_problem(request: Request, error: Exception) -> JSONResponse:
    details = cast(RequestValidationError, error).errors()
    media_type = request.headers.get("content-type", "none")
    unread = [item["type"] for item in details if item["loc"] == ("body",)] == ["model_attributes_type"]
    if unread and "json" not in media_type:
        message = f"got Content-Type {media_type}, expected application/json"
        return problem_response(415, "unsupported-media-type", message)
    malformed = [item for item in details if item["type"] == "json_invalid"]
    if malformed:
        reason = malformed[0]["ctx"]["error"]
        return problem_response(400, "malformed-body", f"the body is not valid JSON: {reason}")
    errors = [FieldError(field=_field_path(item["loc"]), message=item["msg"]) for item in details]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    return problem_response(422, "request-not-processable", detail, errors=errors)


def _field_path(location: Sequence[Any]) -> str:
    """Pydantic's location without where it came from (body, query) and without union tags."""
    parts = [str(part) for part in location[1:] if part not in CAMERA_TAGS]
    return ".".join(parts) or str(location[0])


async def _http_problem(_: Request, error: Exception) -> JSONResponse:
    failure = cast(HTTPException, error)
    slug = http.HTTPStatus(failure.status_code).phrase.lower().replace(" ", "-")
    headers = dict(failure.headers) if failure.headers else None
    return problem_response(failure.status_code, slug, str(failure.detail), headers=headers)


async def _unexpected_problem(_: Request, error: Exception) -> JSONResponse:
    del error  # its text may hold internals; the server's log has the traceback
    return problem_response(500, "internal-error", "the gateway failed; its log says why")
