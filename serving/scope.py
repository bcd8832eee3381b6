"""What the gateway's middleware writes into the ASGI scope of a request, for those that come behind it."""

from starlette.types import Scope

HEAD_ONLY = "neurocity.head_only"
"""True where a client asks for the headers of an answer alone; the scope's method is then GET."""
API_KEY = "neurocity.api_key"
"""The `Grant` by which the request was let in; absent where nobody has to show a key."""

PROBLEM = "neurocity.problem"
"""The slug of the problem that the answer is, where it is one."""


def client_of(scope: Scope) -> str:
    """Who asks, for what is shared out between clients: the API key, else the address."""
    if grant := scope.get(API_KEY):
        return f"key {grant.name}"
    return address_of(scope)


def route_path(scope: Scope) -> str:
    """The path as routes know it: without what the application is mounted on, or a proxy takes away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def address_of(scope: Scope) -> str:
    """The address that the request came from; `-` where there is none."""
    client = scope.get("client")
    return client[0] if client else "-"
