"""How many pixels are rendered for a client in a minute: a token bucket a name.

A bucket holds the pixels of one minute and fills at their speed. A picture that is larger than that is made
when the bucket is full, and owes the rest.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from neurocity.errors import NeuroCityError
from serving.render.token_bucket import TokenBucket


class QuotaExceededError(NeuroCityError):
    """A client has had all the pixels that it may have for now.

    retry_after_seconds: when the same request will be met.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, math.ceil(retry_after_seconds))


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks for pictures.

    pixels_per_minute: that are rendered for all that have the name, at most; None for any number.
    """

    name: str = ""
    pixels_per_minute: int | None = None


class Quotas:
    """What is left to each client that has a quota. Used from one event loop.

    Clients with a quota are those of a file of keys, so that their buckets do not become ever more.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[Client, TokenBucket] = {}

    def check(self, client: Client, pixels: int) -> None:
        """Raise QuotaExceededError when so many pixels cannot be rendered for the client now."""
        most = client.pixels_per_minute
        if most is None:
            return
        missing = min(pixels, most) - self._bucket(client, most).tokens()
        if missing > 1e-6:  # less is what rounding leaves, and is no pixel
            wait = missing * 60 / most
            raise QuotaExceededError(
                f"this key may have {most} pixels a minute; for {pixels} more it has to wait "
                f"{max(1, math.ceil(wait))} s",
                wait,
            )

    def take(self, client: Client, pixels: int) -> None:
        """Count pixels that are going to be rendered; a negative number gives back what was not."""
        if client.pixels_per_minute is not None:
            self._bucket(client, client.pixels_per_minute).take(pixels)

    def _bucket(self, client: Client, most: int) -> TokenBucket:
        if client not in self._buckets:
            self._buckets[client] = TokenBucket(most / 60, most, self._clock)
        return self._buckets[client]
