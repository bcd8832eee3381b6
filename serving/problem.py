"""Every error as `application/problem+json` (RFC 9457), of bounded size."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Scope, Send

from serving.errors import Status, status_of
from serving.scope import PROBLEM
from serving.spans import trace_id

PROBLEM_TYPE = "urn:neurocity:problem:"
MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 16
"""Wrong fields that one answer names. An answer may not grow with the request that it refuses."""
MAX_FIELD, MAX_MESSAGE, MAX_DETAIL = 120, 500, 2000
"""Characters of a field's name, of what is said of it, and of the whole explanation."""


class FieldError(BaseModel):
    """One wrong field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` names the wrong fields, at most 16, when fields are wrong.

    trace_id: where requests are traced, of this one.
    """

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
    trace_id: str | None = None


def problem_bytes(status: Status, detail: str, errors: Sequence[FieldError] = ()) -> bytes:
    """The body of an answer with that status; what is too long is cut, and says so."""
    problem = problem_of(status.code, status.slug, detail, errors)
    return problem.model_copy(update={"trace_id": trace_id()}).model_dump_json(exclude_none=True).encode()


def problem_of(code: int, slug: str, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """The problem with the HTTP status and slug of an error; what is too long is cut, and says so."""
    named = [
        FieldError(field=cut(item.field, MAX_FIELD), message=cut(item.message, MAX_MESSAGE))
        for item in errors[:MAX_ERRORS]
    ]
    return Problem(
        type=PROBLEM_TYPE + slug,
        title=slug.replace("-", " ").capitalize(),
        status=code,
        detail=cut(detail, MAX_DETAIL),
        errors=named,
    )


def cut(text: str, length: int) -> str:
    """The text, or its beginning and `...` where it has more characters than that."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


async def answer_problem(
    scope: Scope, send: Send, error: Exception, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer an ASGI request, or a WebSocket's that is not accepted, with an error of the table.

    The connection ends with it.
    """
    status = status_of(error)
    assert status is not None
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    await answer_status(scope, send, status, detail, headers)


async def answer_status(
    scope: Scope, send: Send, status: Status, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer an ASGI request with a problem of that status; the connection ends with it."""
    scope[PROBLEM] = status.slug
    body = problem_bytes(status, detail)
    fields = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *headers,
    ]
    if status.retry_after_seconds is not None:
        fields.append((b"retry-after", str(status.retry_after_seconds).encode()))
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{kind}.response.start", "status": status.code, "headers": fields})
    await send({"type": f"{kind}.response.body", "body": body})
