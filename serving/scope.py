"""What the gateway's middleware writes into the ASGI scope of a request, for those that come behind it."""

from starlette.types import Message, Scope

from serving.access.keys import Grant
from serving.render.quotas import Client

HEAD_ONLY = "neurocity.head_only"
"""True where a client asks for the headers of an answer alone; the scope's method is then GET."""
API_KEY = "neurocity.api_key"
"""The `Grant` of the key or signed link that the client shows; absent where it shows none that is valid."""
KEYS_WANTED = "neurocity.keys_wanted"
"""True where the gateway has keys, so that who shows none sees no scene."""

ARRIVED = "neurocity.arrived"
"""When the head of a request was there, on the clock of `time.monotonic()`."""

PROBLEM = "neurocity.problem"
"""The slug of the problem that the answer is, where it is one."""


def answered_status(message: Message) -> int | None:
    """The status of the answer that a message to the server begins; None where it begins none.

    A WebSocket that is accepted is 101, and one that is closed before that 403, as the server answers it.
    """
    kind = message["type"]
    if kind.endswith("http.response.start"):  # an answer, or what a WebSocket is refused with
        return int(message["status"])
    return {"websocket.accept": 101, "websocket.close": 403}.get(kind)


def sent_bytes(message: Message) -> int:
    """Bytes of an answer's body or of a WebSocket's message in a message to the server."""
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")


def client_of(scope: Scope) -> Client:
    """Who asks, for what is shared out between clients: the API key's name, else the address."""
    grant: Grant | None = scope.get(API_KEY)
    if grant is None:
        return Client(address_of(scope))
    return Client(f"key {grant.name}", grant.pixels_per_minute)


def may_see(scope: Scope, scene: str) -> bool:
    """Whether the client may know of that scene."""
    grant: Grant | None = scope.get(API_KEY)
    return KEYS_WANTED not in scope if grant is None else grant.covers(scene)


def route_path(scope: Scope) -> str:
    """The path as routes know it: without what the application is mounted on, or a proxy takes away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def address_of(scope: Scope) -> str:
    """The address that the request came from; `-` where there is none.

    A listener on `::` sees IPv4 addresses with a prefix, which others do not show.
    """
    client = scope.get("client")
    return client[0].removeprefix("::ffff:") if client else "-"
