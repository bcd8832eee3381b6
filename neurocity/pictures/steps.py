"""Work in steps, each of pieces that may be done at the same time, by whoever has processors for them.

Work is a generator: it yields the pieces of a step, is sent their results in the pieces' order, and returns
what they become. Who drives it may stop between two pieces. All that takes time is in pieces, each about as
long as the others of its step.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")

Piece = Callable[[], Any]
Steps = Generator[Sequence[Piece], list[Any], Result]


class Whole(tuple[Piece]):
    """The only piece of a step that cannot be shared out, and takes about as long as all others together."""


def do(steps: Steps[Result]) -> Result:
    """What the work becomes, its pieces done here, one after the other."""
    try:
        pieces = next(steps)
        while True:
            pieces = steps.send([piece() for piece in pieces])
    except StopIteration as end:
        result: Result = end.value
        return result


def strips(height: int, width: int, pixels: int) -> list[slice]:
    """The rows of a picture in strips of about so many pixels, of equal height but for the last."""
    rows = max(1, pixels // width)
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]
