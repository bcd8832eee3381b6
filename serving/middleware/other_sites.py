"""What pages of other sites may do with this gateway: by default, nothing.

A link to a picture is a request that costs seconds of an engine. Any page can hold a thousand of them as
images; browsers then send the requests of all its visitors, and say so in `Sec-Fetch-Site`.
https://w3c.github.io/webappsec-fetch-metadata/

A WebSocket of another site's page could even be read by it. Where a browser sends no `Sec-Fetch-Site` (older
ones, and to addresses that are not https), its Origin must be the Host that it asks.
"""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import CrossSiteError
from serving.problem import answer_problem
from serving.settings import CrossOriginPolicy

_SITES: dict[CrossOriginPolicy, frozenset[bytes]] = {
    "same-origin": frozenset({b"same-site", b"cross-site"}),
    "same-site": frozenset({b"cross-site"}),
    "cross-origin": frozenset(),
}
"""Policy -> the values of Sec-Fetch-Site that it refuses."""


class OtherSites:
    """Refuses what pages of other sites embed, and tells browsers to do so; a user may follow any link.

    policy: the value of Cross-Origin-Resource-Policy on every answer, which names who may embed.
    """

    def __init__(self, app: ASGIApp, policy: CrossOriginPolicy) -> None:
        self.app = app
        self.refused = _SITES[policy]
        self.fields = [
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", policy.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what this site's pages, users and programs ask."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        async def marked_send(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                message = {**message, "headers": [*message["headers"], *self.fields]}
            await send(message)

        if self.refused and self._is_foreign(scope):
            return await answer_problem(
                scope, marked_send, CrossSiteError("another site's page may not embed or open this")
            )
        await self.app(scope, receive, marked_send)

    def _is_foreign(self, scope: Scope) -> bool:
        site, mode, shown_in, origin, host = b"", b"", b"", None, b""
        for name, value in scope["headers"]:
            if name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
            elif name == b"sec-fetch-dest":
                shown_in = value
            elif name == b"origin":
                origin = value
            elif name == b"host":
                host = value
        if scope["type"] == "websocket" and not site and origin is not None:
            return not _is_at(origin, host)
        # A frame navigates too.
        followed = mode == b"navigate" and shown_in in (b"", b"document") and scope["type"] == "http"
        return site in self.refused and not followed


def _is_at(origin: bytes, host: bytes) -> bool:
    """Whether an origin is of that host; what is no origin is of none."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
