"""Pictures that a client has already: strong ETags, and answers without a render.

A picture follows from its request, the artefact and the program, so its tag is known before it is made.
"""

import hashlib
from importlib.metadata import version

from fastapi import Request, Response

from neurocity.pictures.encoded import MEDIA_TYPES
from neurocity.pictures.exr import exr_available
from serving.scope import API_KEY, HEAD_ONLY

_PARTS = ("neurocity", "pillow", "numpy", *(["openexr"] if exr_available() else []))
PASSING_SECONDS = 2
"""For which a picture may be kept that shows what will be another thing soon."""

_PROGRAM = " ".join(f"{name} {version(name)}" for name in _PARTS)


def picture_etag(engine: str, key: str) -> str:
    """The strong ETag of the picture of that `picture_key`.

    Engine and program stand in it, since another one may round the last bit of a pixel otherwise.
    """
    facts = (_PROGRAM, engine, key)
    return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'


def cache_headers(request: Request, etag: str, cache_control: str) -> dict[str, str]:
    """The headers by which a picture is kept. What a key has opened is for its owner's caches alone."""
    return {"ETag": etag, "Cache-Control": _owned(request, cache_control)}


def passing_headers(request: Request, cache_control: str) -> dict[str, str]:
    """Likewise of a picture that shows what will be another thing soon; it has no tag.

    cache_control: of others; who wants nothing kept has not this kept either.
    """
    words = _words(cache_control)
    who = [word for word in ("private", "public") if word in words]
    seconds = "no-store" if "no-store" in words else f"max-age={PASSING_SECONDS}"
    return {"Cache-Control": _owned(request, ", ".join([*who, seconds]))}


def _owned(request: Request, cache_control: str) -> str:
    if API_KEY in request.scope and not {"private", "public"} & _words(cache_control):
        return f"private, {cache_control}"
    return cache_control


def _words(cache_control: str) -> set[str]:
    return set(cache_control.replace(",", " ").split())


def answer_without_render(
    request: Request, encoding: str, scene_version: int, headers: dict[str, str]
) -> Response | None:
    """304 where the client has the picture, the headers alone where HEAD asks for them; else None."""
    if request.method != "GET":
        return None
    headers = {**headers, "X-Scene-Version": str(scene_version)}
    if (known := request.headers.get("if-none-match")) and matches(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if HEAD_ONLY in request.scope:
        answer = Response(media_type=MEDIA_TYPES[encoding], headers=headers)
        del answer.headers["content-length"]  # not known before the render
        return answer
    return None


def matches(known: str, etag: str) -> bool:
    """Whether If-None-Match names that tag; compared weakly, as RFC 9110 section 13.1.2 wants it."""
    return known.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in known.split(","))
