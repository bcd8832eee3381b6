"""What FastAPI and the engines raise, as answers."""

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from neurocity.errors import CameraError, NeuroCityError
from neurocity.pictures.options import PictureOptionsError
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
from serving.problem import MAX_ERRORS, MEDIA_TYPE, FieldError, Problem, problem_bytes
from serving.render.admission import OverloadedError
from serving.render.limits import RequestError
from serving.scope import PROBLEM

log = logging.getLogger("neurocity.serving")


def problem_responses(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` argument of a route or router that may fail with those exceptions."""
    statuses = [STATUSES[kind] for kind in kinds]
    return {status.code: {"model": Problem, "description": status.meaning} for status in statuses}


def install_error_handlers(app: FastAPI) -> None:
    """Let every foreseen error of `app` leave as problem+json; `middleware/failures.py` has the others."""
    app.add_exception_handler(NeuroCityError, _known_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(HTTPException, _http_problem)


def _response(
    request: Request,
    status: Status,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    request.scope[PROBLEM] = status.slug
    return Response(
        problem_bytes(status, detail, errors),
        status_code=status.code,
        headers={"Cache-Control": "no-store"} | dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def explain(error: Exception) -> tuple[Status, str, list[FieldError]]:
    """What a client is told of an error: status, detail, wrong fields. The log has what it is not told.

    Raises the error itself when it is not of a request's making.
    """
    if isinstance(error, RequestValidationError):
        return _explain_fields(error)
    status = status_of(error)
    if status is None:
        raise error
    detail = str(error)
    if isinstance(error, CameraError | PictureOptionsError | RequestError):
        return status, detail, [FieldError(field=error.field, message=detail)]
    # Refusals come in hundreds a second, when there is no time to spare: their requests' lines name them.
    if status.code >= INTERNAL_ERROR.code and not isinstance(error, OverloadedError):
        log.warning("problem=%s detail=%r", status.slug, detail)
    return status, status.public_detail or detail, []


def _explain_fields(error: RequestValidationError) -> tuple[Status, str, list[FieldError]]:
    details = error.errors()
    errors = [FieldError(field=path_of(item["loc"]), message=item["msg"]) for item in details[:MAX_ERRORS]]
    told = [f"{item.field}: {item.message}" for item in errors]
    if len(details) > MAX_ERRORS:
        told.insert(0, f"{len(details)} fields are wrong, of which the first {MAX_ERRORS} are named")
    return STATUSES[RequestValidationError], "; ".join(told), errors


async def _known_problem(request: Request, error: Exception) -> Response:
    status, detail, errors = explain(error)
    seconds = retry_after_seconds(error)
    headers = None if seconds is None else {"Retry-After": str(seconds)}
    return _response(request, status, detail, errors, headers)


async def _validation_problem(request: Request, error: Exception) -> Response:
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
    return _response(request, *explain(error))


async def _http_problem(request: Request, error: Exception) -> Response:
    failure = cast(HTTPException, error)
    slug = http.HTTPStatus(failure.status_code).phrase.lower().replace(" ", "-")
    status = status_of(failure) or Status(failure.status_code, slug)
    headers = dict(failure.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return _response(request, status, str(failure.detail), headers=headers)


def _methods(request: Request) -> set[str]:
    """What can be done at the path of a request; a route knows of its own methods alone."""
    routes = [
        route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE
    ]
    methods = {method for route in routes for method in getattr(route, "methods", None) or ()}
    return methods | {"HEAD"} if "GET" in methods else methods  # the middleware makes HEAD of GET
