"""What nobody foresaw, as an answer.

Starlette would answer outside of all middleware, where an answer has no request id and no security headers,
and raise the exception again; uvicorn would then close the connection under the client's next request.
"""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import INTERNAL_ERROR
from serving.problem import answer_status

log = logging.getLogger("neurocity.serving")


class Failures:
    """Answers 500 with a reason that tells nothing, and logs the exception with its traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on. What fails behind an answer's beginning ends the connection: nothing else tells it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except Exception:
            if started:
                raise
            log.exception("problem=%s", INTERNAL_ERROR.slug)
            await answer_status(scope, send, INTERNAL_ERROR, "the gateway failed; its log says why")
