"""A picture as an answer that a client may read as slowly as it likes."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from itertools import pairwise

from fastapi import Response
from starlette.types import Receive, Scope, Send

from neurocity.pictures.encoded import EncodedImage

PIECE_BYTES = 2**18
"""What is handed to the server at once. It takes the next piece when the client has read most of this one."""

LAST_BYTES = 2**16
"""The last piece, which nobody counts any more once the server has it."""


class PictureResponse(Response):
    """Sends an image in pieces, and is not done before the client has read all but the last of them.

    What is handed to the server lies in its buffers, of which nobody knows. `held` is open meanwhile: there,
    the image is counted. An image of one piece is small enough to be nobody's concern.
    """

    def __init__(
        self, image: EncodedImage, headers: Mapping[str, str], held: AbstractContextManager[None]
    ) -> None:
        super().__init__(image.data, headers=dict(headers), media_type=image.media_type)
        self._image, self._held = image, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI request."""
        data = self._image.data
        if len(data) <= LAST_BYTES:
            return await super().__call__(scope, receive, send)
        with self._held:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            last = len(data) - LAST_BYTES
            begins = [*range(0, last, PIECE_BYTES), last]
            for begin, end in pairwise([*begins, len(data)]):
                piece = memoryview(data)[begin:end]
                await send({"type": "http.response.body", "body": piece, "more_body": end < len(data)})
