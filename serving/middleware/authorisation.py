"""Lets in who shows an API key or a signed link, where the gateway has been given any."""

import base64

from starlette.types import ASGIApp, Receive, Scope, Send

from neurocity.errors import NeuroCityError
from serving.access.keys import ALL_SCENES, ApiKeys, Grant
from serving.access.links import SIGNATURE, SigningKeys, without_signature
from serving.errors import AdminOnlyError, ForbiddenSceneError, UnauthorisedError
from serving.problem import answer_problem
from serving.scope import API_KEY, KEYS_WANTED, route_path

GUARDED = ("/v1/", "/metrics")
"""Beginnings of paths that a key opens; probes, the viewer's files and the API's description are open."""
ADMIN = ("/v1/admin/", "/metrics")
"""Those that an operator's key alone opens."""
SCENES = "/v1/scenes/"
OWN = ("/v1/scenes", "/v1/videos")
"""Lists of what the key covers or has made."""
KEY_PROTOCOL = "neurocity.key."
"""With the key in base64url, without padding, behind it: a WebSocket's subprotocol that shows an API key.
Browsers let a page set no header of a WebSocket, and an address would stand in logs."""
_CHALLENGE = [(b"www-authenticate", b"Bearer")]


class Authorisation:
    """Refuses what no key opens: 401 without one that is valid, 403 for a scene that it does not cover."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, signing: SigningKeys) -> None:
        self.app = app
        self.keys = keys
        self.signing = signing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open, and what a key opens; the `Grant` of a valid key stands in the scope."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        path = route_path(scope)
        grant = self._grant(scope)
        scope[KEYS_WANTED] = True
        if grant is not None:
            scope[API_KEY] = grant  # in the scope itself: the log reads it as well
        error = _refusal(grant, path) if path.startswith(GUARDED) else None
        if error is None:
            return await self.app(scope, receive, send)
        await answer_problem(scope, send, error, _CHALLENGE if grant is None else ())

    def _grant(self, scope: Scope) -> Grant | None:
        """What the client's key or its signed link gives."""
        key = _key(scope)
        query = scope["query_string"].decode("latin-1")
        if key is None and f"{SIGNATURE}=" in query and scope.get("method") == "GET":
            scope["query_string"] = without_signature(query).encode()
            return self.signing.grant(scope["path"], query)
        return None if key is None else self.keys.grant(key)


def _key(scope: Scope) -> str | None:
    """The API key that the client shows."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return str(value.decode("latin-1"))
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip().decode("latin-1"))
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(KEY_PROTOCOL):
            text = protocol.removeprefix(KEY_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except ValueError:  # of base64, of ASCII and of UTF-8
                return ""  # which is no key
    return None


def _refusal(grant: Grant | None, path: str) -> NeuroCityError | None:
    """Why that grant does not cover what the path names; None when it does."""
    if grant is None:
        told = "expected an API key in Authorization: Bearer KEY or X-API-Key, or a link that is signed"
        return UnauthorisedError(told)
    if path.startswith(ADMIN):
        return None if grant.admin else AdminOnlyError("this key is for scenes alone, not for operators")
    if path.startswith(SCENES):
        scene = path.removeprefix(SCENES).partition("/")[0]
        refused = not grant.covers(scene)
        return ForbiddenSceneError(f"this key is not for scene {scene[:64]!r}") if refused else None
    if path.startswith(OWN) or grant.covers(ALL_SCENES):
        return None
    return ForbiddenSceneError("this key is for scenes alone")
