"""Every error as `application/problem+json` (RFC 9457)."""

import http
import logging
from collections.abc import Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from neurocity.errors import CameraError, NeuroCityError
from serving.errors import (
    INTERNAL_ERROR,
    STATUSES,
    MalformedBodyError,
    Status,
    UnsupportedMediaTypeError,
    retry_after_seconds,
    status_of,
)
from serving.http.fields import path_of
from serving.render.options import RequestError

log = logging.getLogger("neurocity.serving")

PROBLEM_TYPE = "urn:neurocity:problem:"
MEDIA_TYPE = "application/problem+json"


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


def problem_responses(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` argument of a route or router that may fail with those exceptions."""
    statuses = [STATUSES[kind] for kind in kinds]
    return {status.code: {"model": Problem, "description": status.meaning} for status in statuses}


def install_error_handlers(app: FastAPI) -> None:
    """Let every error of `app`, known or not, leave as problem+json."""
    app.add_exception_handler(NeuroCityError, _known_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _unexpected_problem)


def _response(
    status: Status, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    problem = Problem(
        type=PROBLEM_TYPE + status.slug,
        title=status.slug.replace("-", " ").capitalize(),
        status=status.code,
        detail=detail,
        errors=list(errors),
    )
    return JSONResponse(problem.model_dump(), status_code=status.code, headers=headers, media_type=MEDIA_TYPE)


async def _known_problem(_: Request, error: Exception) -> JSONResponse:
    status = status_of(error)
    if status is None:
        raise error  # not of a request's making: leaves as an unexpected failure, with its traceback logged
    detail = str(error)
    if isinstance(error, CameraError | RequestError):
        return _response(status, detail, [FieldError(field=error.field, message=detail)])
    if status.code >= INTERNAL_ERROR.code:
        log.warning("problem=%s detail=%r", status.slug, detail)
    seconds = retry_after_seconds(error)
    return _response(status, detail, headers=None if seconds is None else {"Retry-After": str(seconds)})


async def _validation_problem(request: Request, error: Exception) -> JSONResponse:
    details = cast(RequestValidationError, error).errors()
    media_type = request.headers.get("content-type", "none")
    unread = [item["type"] for item in details if item["loc"] == ("body",)] == ["model_attributes_type"]
    if unread and "json" not in media_type:
        message = f"got Content-Type {media_type}, expected application/json"
        return await _known_problem(request, UnsupportedMediaTypeError(message))
    malformed = [item for item in details if item["type"] == "json_invalid"]
    if malformed:
        message = f"the body is not valid JSON: {malformed[0]['ctx']['error']}"
        return await _known_problem(request, MalformedBodyError(message))
    errors = [FieldError(field=path_of(item["loc"]), message=item["msg"]) for item in details]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors)
    return _response(STATUSES[RequestValidationError], detail, errors)


async def _http_problem(_: Request, error: Exception) -> JSONResponse:
    failure = cast(HTTPException, error)
    slug = http.HTTPStatus(failure.status_code).phrase.lower().replace(" ", "-")
    status = status_of(failure) or Status(failure.status_code, slug)
    headers = dict(failure.headers) if failure.headers else None
    return _response(status, str(failure.detail), headers=headers)


async def _unexpected_problem(_: Request, error: Exception) -> JSONResponse:
    del error  # its text may hold internals; the server's log has the traceback
    return _response(INTERNAL_ERROR, "the gateway failed; its log says why")
