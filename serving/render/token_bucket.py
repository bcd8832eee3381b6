"""How much of something there is in a time."""

import time
from collections.abc import Callable


class TokenBucket:
    """Tokens flow into it, `per_second`, up to `burst`; it is full at first (ITU-T I.371's leaky bucket)."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._tokens, self._at = burst, clock()

    def tokens(self) -> float:
        """What is in it now; less than nothing where more was taken than there was."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        return self._tokens

    def take(self, tokens: float) -> None:
        """Take tokens, whether they are there or not; a negative number gives some back."""
        self._tokens = self.tokens() - tokens
