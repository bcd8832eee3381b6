"""Whether this process is about to end. What may take new work asks here."""

import asyncio


class Drain:
    """Set once, by the server; read by whatever takes new work. Used from one event loop.

    begun: new work is refused, and what was accepted goes on.
    over: what was accepted and is not done is given up.
    """

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self.over = False

    @property
    def begun(self) -> bool:
        """Whether it has begun."""
        return self._begun.is_set()

    async def wait(self) -> None:
        """Return when it has begun."""
        await self._begun.wait()

    def begin(self) -> None:
        """Take no new work from now on."""
        self._begun.set()

    def give_up(self) -> None:
        """Let what is cancelled from now on be answered as given up by the gateway."""
        self.begin()
        self.over = True
