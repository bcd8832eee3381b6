"""One span a request, of which all others of the request are parts."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import INTERNAL_ERROR
from serving.middleware.request_log import LONGEST_METHOD, LONGEST_PATH
from serving.problem import cut
from serving.scope import HEAD_ONLY, PROBLEM, address_of, route_path
from serving.spans import TRACE
from serving.telemetry.logs import REQUEST_ID
from serving.telemetry.tracing import Tracing

UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})
"""What machines ask each few seconds."""
HEADERS = frozenset({b"traceparent", b"tracestate"})


class RequestTrace:
    """Names are OpenTelemetry's: https://opentelemetry.io/docs/specs/semconv/http/http-spans/.

    The query is not told: it may hold a signature.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app = app
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and trace what clients ask for."""
        if scope["type"] != "http" or route_path(scope) in UNTRACED:
            TRACE.set(None)  # a connection's next request begins in the context of the one before
            return await self.app(scope, receive, send)
        status = INTERNAL_ERROR.code

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        sent = [(name, value) for name, value in scope["headers"] if name in HEADERS]
        with self.tracing.request({name.decode(): value.decode("latin-1") for name, value in sent}) as span:
            try:
                await self.app(scope, receive, watched_send)
            finally:
                method = "HEAD" if HEAD_ONLY in scope else cut(scope["method"], LONGEST_METHOD)
                route = getattr(scope.get("route"), "path", "")
                about = {
                    "http.request.method": method,
                    "http.response.status_code": status,
                    "url.path": cut(scope["path"], LONGEST_PATH),
                    "client.address": address_of(scope),
                    "neurocity.request_id": REQUEST_ID.get(),
                    **({"http.route": route} if route else {}),
                }
                failure = scope.get(PROBLEM, str(status)) if status >= INTERNAL_ERROR.code else ""
                span.ended(f"{method} {route}".rstrip(), about, failure)
