"""The OpenAPI description: FastAPI's own, with what this gateway's settings and packages make of it."""

from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from neurocity.pictures.options import available_formats
from serving.http.query import Extension
from serving.problem import MEDIA_TYPE
from serving.render.limits import Limits


def install_openapi(app: FastAPI, limits: Limits) -> None:
    """Let `app.openapi()` describe errors as problem+json, and of pictures what this gateway can make."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _declare_problems(operation["responses"])
            _declare_limits(schema, limits)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _declare_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= 400:
            (content,) = response["content"].values()
            response["content"] = {MEDIA_TYPE: content}


def _declare_limits(schema: dict[str, Any], limits: Limits) -> None:
    """Sides and formats that are refused here are no part of the description."""
    link = schema["paths"]["/v1/scenes/{scene}/render.{extension}"]["get"]["parameters"]
    parts = {item["name"]: item["schema"] for item in link}
    body = schema["components"]["schemas"]["RenderRequest"]["properties"]
    for side in ("width", "height"):
        parts[side]["maximum"] = body[side]["maximum"] = limits.max_side
    formats = available_formats()
    body["format"]["enum"] = list(formats)
    parts["extension"]["enum"] = [name for name in get_args(Extension) if name == "jpg" or name in formats]
