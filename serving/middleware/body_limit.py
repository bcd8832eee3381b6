"""The limit on request bodies. Pure ASGI: `BaseHTTPMiddleware`'s `receive` hides that a client has left."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BodyTooLargeError


class BodyLimit:
    """Refuses bodies over `limit` bytes while they arrive, whatever length was declared."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests within the limit."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise BodyTooLargeError(self.limit)
            return message

        await self.app(scope, counting_receive, send)
