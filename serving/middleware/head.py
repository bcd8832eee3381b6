"""HEAD, on everything that GET gives. Monitors and proxies ask so; FastAPI's routes know GET alone."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.scope import HEAD_ONLY


class Head:
    """Hands HEAD on as GET and keeps the body back. A route that sees `HEAD_ONLY` may save its work."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is no HEAD."""
        if scope.get("method") != "HEAD":
            return await self.app(scope, receive, send)

        async def bodyless_send(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET", HEAD_ONLY: True}, receive, bodyless_send)
