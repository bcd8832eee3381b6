"""Lets in who shows an API key or a signed link, where the gateway has been given any."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.keys import ALL_SCENES, ApiKeys, Grant
from serving.access.links import SIGNATURE, SigningKeys, without_signature
from serving.errors import ForbiddenSceneError, UnauthorisedError
from serving.problem import answer_problem
from serving.scope import API_KEY, route_path

GUARDED = ("/v1/", "/metrics")
"""Beginnings of paths that a key opens; probes, the viewer's files and the API's description are open."""
SCENES = "/v1/scenes/"
POLICY_VIOLATION = 1008
"""Code of a WebSocket's end; RFC 6455 section 7.4.1."""
_CHALLENGE = [(b"www-authenticate", b"Bearer")]


class Authorisation:
    """Refuses what no key opens: 401 without one that is valid, 403 for a scene that it does not cover."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, signing: SigningKeys) -> None:
        self.app = app
        self.keys = keys
        self.signing = signing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open, and what a key opens, with its `Grant` in the scope."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        path = route_path(scope)
        if not path.startswith(GUARDED):
            return await self.app(scope, receive, send)
        key = _key(scope)
        query = scope["query_string"].decode("latin-1")
        if key is None and f"{SIGNATURE}=" in query and scope.get("method") == "GET":
            grant = self.signing.grant(scope["path"], query)
            scope["query_string"] = without_signature(query).encode()
        else:
            grant = None if key is None else self.keys.grant(key)
        if scope["type"] == "websocket" and (grant is None or _refusal(grant, path)):
            return await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        if grant is None:
            told = "expected an API key in Authorization: Bearer KEY or X-API-Key, or a link that is signed"
            return await answer_problem(scope, send, UnauthorisedError(told), _CHALLENGE)
        if refusal := _refusal(grant, path):
            return await answer_problem(scope, send, ForbiddenSceneError(refusal))
        scope[API_KEY] = grant  # in the scope itself: the log reads it as well
        await self.app(scope, receive, send)


def _key(scope: Scope) -> str | None:
    """The API key that the client shows."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return str(value.decode("latin-1"))
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip().decode("latin-1"))
    return None


def _refusal(grant: Grant, path: str) -> str:
    """Why that grant does not cover what the path names; empty when it does."""
    if path.startswith(SCENES):
        scene = path.removeprefix(SCENES).partition("/")[0]
        return "" if grant.covers(scene) else f"this key is not for scene {scene[:64]!r}"
    if path.startswith("/v1/scenes"):
        return ""  # the list has what the key covers
    return "" if grant.covers(ALL_SCENES) else "this key is for scenes alone"
