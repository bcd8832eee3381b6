"""`GET /v1/scenes/{scene}/web/`: the page of a scene that browsers draw themselves, and the files below it.

A request may say which bytes it wants (`?sha256=`), as the scene's header does of its groups. Then the answer
never changes, and caches keep it; others are asked for again by their ETag.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from pydantic import Field

from neurocity.contract import ArtefactFile
from neurocity.errors import EngineUnavailableError
from serving.http.file_answer import answer_file, answer_known
from serving.http.pages import page_headers
from serving.http.problems import problem_responses
from serving.http.query import Absent, SceneVersionNumber
from serving.scenes.compressed_files import CompressedFile
from serving.scenes.web_folders import MEDIA_TYPES, WebFileBrokenError, WebFileNotFoundError
from serving.scope import API_KEY, HEAD_ONLY
from serving.state import GatewayOfApp

INDEX = "index.html"
COMPRESSIBLE = frozenset(MEDIA_TYPES) - {".png"}
YEAR_SECONDS = 31_536_000
_NUMBERED = re.compile(r"([1-9][0-9]{0,8})/(.*)")
"""A version, and a file of its folder."""
FileDigest = Annotated[
    Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | Absent,
    Query(description="SHA-256 of the file; another one is not answered with."),
]

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])


@router.get("/{scene}/web", include_in_schema=False)
async def web_folder(
    scene: str, request: Request, gateway: GatewayOfApp, version: SceneVersionNumber = None
) -> Response:
    """Where the page is: its files are beside it, so its address ends with a slash and names the version."""
    gateway.scenes.web.find(scene, version)
    return _moved(request, "web/" if version is None else f"web/{version}/")


@router.get("/{scene}/web/", include_in_schema=False)
async def web_page(
    scene: str, request: Request, gateway: GatewayOfApp, version: SceneVersionNumber = None
) -> Response:
    """The page itself, of the newest version."""
    if version is not None:
        gateway.scenes.web.find(scene, version)
        return _moved(request, f"{version}/")
    return await web_file(scene, INDEX, request, gateway)


@router.get(
    "/{scene}/web/{file:path}",
    summary="Get a file of a scene that browsers draw",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file.",
            "content": {media_type.partition(";")[0]: {} for media_type in MEDIA_TYPES.values()},
        },
        206: {"description": "The range of it that was asked for."},
        **problem_responses(
            WebFileNotFoundError, RequestValidationError, WebFileBrokenError, EngineUnavailableError
        ),
    },
)
async def web_file(
    scene: str,
    file: str,
    request: Request,
    gateway: GatewayOfApp,
    version: SceneVersionNumber = None,
    sha256: FileDigest = None,
) -> Response:
    """A file of the folder that `neurocity-export --formats web` made, or a range of it; `web/` is its page.

    `web/2/` is the folder of version 2, and so is `?version=2`.
    """
    if numbered := _NUMBERED.fullmatch(file):
        version, file = int(numbered[1]), numbered[2] or INDEX
    folder = gateway.scenes.web.find(scene, version)
    found = folder.file(file)
    if sha256 not in (None, found.sha256):
        raise WebFileNotFoundError(f"{file} has SHA-256 {found.sha256} by now; load the page again")
    suffix = Path(file).suffix
    headers = _headers(request, found, immutable=sha256 is not None, compressible=suffix in COMPRESSIBLE)
    if suffix == ".html":
        headers |= page_headers(gateway.settings.cross_origin)
    media_type = MEDIA_TYPES[suffix]
    if suffix in COMPRESSIBLE and _takes_gzip(request) and "range" not in request.headers:
        packed_headers = headers | {"Content-Encoding": "gzip", "ETag": f'"{found.sha256[:32]}-gzip"'}
        if known := answer_known(request, packed_headers):
            return known
        if packed := await folder.compressed(found, gateway.scenes.web.compressed):
            packed_headers["Content-Length"] = str(packed.size)
            if HEAD_ONLY in request.scope:
                return Response(headers=packed_headers, media_type=media_type)
            return StreamingResponse(_pieces(packed), headers=packed_headers, media_type=media_type)
    if known := answer_known(request, headers):
        return known
    async with folder.opened(found) as (path, stat):
        pass
    return answer_file(request, path, stat, headers=headers, media_type=media_type, held=folder.opened(found))


def _moved(request: Request, place: str) -> Response:
    """Elsewhere, with the query but for the version, which `place` has."""
    query = urlencode([item for item in request.query_params.multi_items() if item[0] != "version"])
    return RedirectResponse(f"{place}?{query}" if query else place, status_code=307)


def _headers(request: Request, file: ArtefactFile, *, immutable: bool, compressible: bool) -> dict[str, str]:
    """How a file is kept. What a key has opened is for its owner's caches alone."""
    owner = "private" if API_KEY in request.scope else "public"
    kept = f"{owner}, max-age={YEAR_SECONDS}, immutable" if immutable else f"{owner}, no-cache"
    headers = {"ETag": f'"{file.sha256[:32]}"', "Cache-Control": kept}
    return headers | ({"Vary": "Accept-Encoding"} if compressible else {})


def _takes_gzip(request: Request) -> bool:
    """Whether the client says that it reads gzip; RFC 9110, section 12.5.3."""
    taken: dict[str, bool] = {}
    for item in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = item.partition(";")
        taken[name.strip()] = quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return taken.get("gzip", taken.get("*", False))


async def _pieces(packed: CompressedFile) -> AsyncIterator[bytes]:
    """The server takes the next piece when the client has read most of this one."""
    for piece in packed.pieces:
        yield piece
