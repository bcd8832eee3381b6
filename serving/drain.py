"""Whether this process is about to end. What may take new work asks here."""


class Drain:
    """Set once, by the server; read by whatever takes new work. Used from one event loop.

    begun: new work is refused, and what was accepted goes on.
    over: what was accepted and is not done is given up.
    """

    def __init__(self) -> None:
        self.begun = False
        self.over = False

    def begin(self) -> None:
        """Take no new work from now on."""
        self.begun = True

    def give_up(self) -> None:
        """Let what is cancelled from now on be answered as given up by the gateway."""
        self.begun = self.over = True
