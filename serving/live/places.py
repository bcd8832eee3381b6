"""How many live views there may be."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from serving.errors import TooManyLiveViewsError
from serving.render.admission import OverloadedError

WAIT_SECONDS = 5.0
"""When it is worth another try; nobody knows when a viewer leaves."""


class Places:
    """The live views that are open. most: of all clients together; most_per_client: of one."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most, self._most_per_client = most, most_per_client
        self._taken: Counter[Hashable] = Counter()

    def taken(self) -> int:
        """Live views that are open."""
        return self._taken.total()

    @contextmanager
    def place(self, client: Hashable) -> Iterator[None]:
        """Inside the `with`, one more is open.

        Raises TooManyLiveViewsError when this client has too many, OverloadedError when all together have.
        """
        if self._taken[client] >= self._most_per_client:
            raise TooManyLiveViewsError(f"this client has {self._most_per_client} live views, the limit")
        if self.taken() >= self._most:
            raise OverloadedError(f"{self._most} live views are open, the limit", WAIT_SECONDS)
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            self._taken += Counter()  # drops clients that have none
