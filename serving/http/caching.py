"""Pictures that a client has already: strong ETags, and answers without a render.

A picture follows from its request, the artefact and the program, so its tag is known before it is made.
"""

import hashlib
from importlib.metadata import version

import numpy as np
from fastapi import Request, Response

from neurocity.contract import SceneManifest
from serving.render.images import MEDIA_TYPES
from serving.scope import API_KEY, HEAD_ONLY

_PROGRAM = f"neurocity {version('neurocity')} pillow {version('pillow')} numpy {np.__version__}"


def picture_etag(manifest: SceneManifest, engine: str, key: str) -> str:
    """The strong ETag of the picture of that `picture_key`.

    Engine and program stand in it, since another one may round the last bit of a pixel otherwise; so do the
    scene's own facts, which the key does not cover.
    """
    info = manifest.info
    facts = (_PROGRAM, engine, info.background, info.origin, key)
    return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'


def cache_headers(request: Request, etag: str, cache_control: str) -> dict[str, str]:
    """The headers by which a picture is kept. What a key has opened is for its owner's caches alone."""
    if API_KEY in request.scope and not {"private", "public"} & set(cache_control.replace(",", " ").split()):
        cache_control = f"private, {cache_control}"
    return {"ETag": etag, "Cache-Control": cache_control}


def answer_without_render(
    request: Request, encoding: str, scene_version: int, headers: dict[str, str]
) -> Response | None:
    """304 where the client has the picture, the headers alone where HEAD asks for them; else None."""
    if request.method != "GET":
        return None
    headers = {**headers, "X-Scene-Version": str(scene_version)}
    if (known := request.headers.get("if-none-match")) and _matches(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if HEAD_ONLY in request.scope:
        answer = Response(media_type=MEDIA_TYPES[encoding], headers=headers)
        del answer.headers["content-length"]  # not known before the render
        return answer
    return None


def _matches(known: str, etag: str) -> bool:
    """Whether If-None-Match names that tag; compared weakly, as RFC 9110 section 13.1.2 wants it."""
    return known.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in known.split(","))
