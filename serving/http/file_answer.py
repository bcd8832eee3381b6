"""Files as answers: whole or one range, to who has them already 304, to HEAD without reading them."""

import re
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from os import stat_result
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from serving.http.caching import matches
from serving.scope import HEAD_ONLY

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
"""One range. Others may be ignored (RFC 9110, section 14.2), and are."""


def answer_known(request: Request, headers: Mapping[str, str]) -> Response | None:
    """304 where the client has what these headers, with an ETag, are of; else None."""
    known = request.headers.get("if-none-match")
    if known and matches(known, headers["ETag"]):
        return Response(status_code=304, headers=dict(headers))
    return None


def answer_file(
    request: Request,
    file: Path,
    stat: stat_result,
    *,
    headers: Mapping[str, str],
    media_type: str,
    filename: str | None = None,
    held: AbstractAsyncContextManager[object] | None = None,
) -> Response:
    """A file, or the range of it that is asked for.

    headers: with an ETag. filename: under which browsers save it. held: open while the file is sent.
    Raises HTTPException 416 where the range begins behind the end.
    """
    if known := answer_known(request, headers):
        return known
    response = _HeldFile(file, headers=headers, media_type=media_type, filename=filename, stat_result=stat)
    _keep_one_range(request, stat.st_size, (response.headers["etag"], response.headers["last-modified"]))
    if HEAD_ONLY in request.scope:  # without reading the file
        return Response(headers=dict(response.headers))
    response.held = held or nullcontext()
    return response


class _HeldFile(FileResponse):
    """A file that somebody keeps in its place until it is sent."""

    held: AbstractAsyncContextManager[object] = nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI request."""
        async with self.held:
            await super().__call__(scope, receive, send)


def _keep_one_range(request: Request, size: int, validators: Collection[str]) -> None:
    """Let the request ask for one range that is there, or for all; 416 where the file is shorter.

    validators: by which the client may know the file. A range of another one is none (RFC 9110, 13.1.5).
    """
    same = request.headers.get("if-range") in (None, *validators)
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", "")) if same else None
    first, last, from_end = asked.groups() if asked else (None, None, None)
    if first is not None and int(first) < size and int(last or first) >= int(first):
        return
    if from_end is not None and int(from_end) > 0:
        return
    if first is not None and int(first) >= size:
        headers = {"Content-Range": f"bytes */{size}"}
        raise HTTPException(416, f"the file has {size} bytes, the range begins at {first}", headers)
    request.scope["headers"] = [item for item in request.scope["headers"] if item[0] != b"range"]
