"""What is written to a connection: little in one piece, all in its order, and before the connection ends."""

import asyncio

import pytest

from serving.server.transport import SMALL_BYTES, HalfClosingTransport

HEAD, BODY = b"head", b"body"


class Written:
    """An asyncio transport that keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.pieces.append(data)

    def write_eof(self) -> None:
        self.ended = "half"

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.ended == "whole"

    def close(self) -> None:
        self.ended = "whole"


def pieces(session, *, half: bool = False) -> Written:
    """What was written when `session` has got a transport and the event loop has turned."""

    async def run() -> Written:
        written = Written()
        await session(HalfClosingTransport(written, lambda: half))
        return written

    return asyncio.run(run())


def test_head_and_body_go_out_together_and_at_once():
    async def answer(transport):
        transport.write(HEAD)
        transport.write(BODY)
        transport.flush()

    assert pieces(answer).pieces == [HEAD + BODY]


def test_a_head_that_comes_alone_does_not_wait_for_ever():
    async def answer(transport):
        transport.write(HEAD)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.write(BODY)
        transport.flush()

    assert pieces(answer).pieces == [HEAD, BODY]


def test_a_large_body_is_not_copied():
    large = bytes(SMALL_BYTES + 1)

    async def answer(transport):
        transport.write(HEAD)
        transport.write(large)
        transport.write(BODY)
        transport.flush()

    got = pieces(answer).pieces
    assert got == [HEAD, large, BODY]
    assert got[1] is large


@pytest.mark.parametrize(("half", "ended"), [(False, "whole"), (True, "half")])
def test_what_was_written_goes_out_before_the_end_and_nothing_behind_it(half, ended):
    async def answer(transport):
        transport.write(HEAD)
        transport.close()
        transport.flush()
        transport.write(BODY)
        transport.write(bytes(SMALL_BYTES + 1))
        await asyncio.sleep(0)

    written = pieces(answer, half=half)
    assert written.pieces == [HEAD]
    assert written.ended == ended
