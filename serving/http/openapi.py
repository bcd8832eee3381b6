"""The OpenAPI description: FastAPI's own, with errors described as what they are, problem+json."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.errors import Problem

PROBLEM_DESCRIPTIONS = {
    400: "Malformed JSON",
    404: "Unknown scene; the known ones are listed",
    413: "Body too large",
    415: "Body not declared as JSON",
    422: "A field is wrong; `errors` names it",
    502: "The engine failed",
    503: "The engine is not available; try again after Retry-After",
    504: "The render did not end in time",
}


def problem_responses(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` argument of a route or router for those statuses."""
    return {status: {"model": Problem, "description": PROBLEM_DESCRIPTIONS[status]} for status in statuses}


def install_openapi(app: FastAPI) -> None:
    """Let `app.openapi()` describe errors with the media type that they are sent with."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _declare_problems(operation["responses"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _declare_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= 400:
            response["content"] = {"application/problem+json": response["content"]["application/json"]}
