"""Encoded pictures whose clients have not read them yet are memory too."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serving.render.admission import Admission


class Answers:
    """Counts them in the budget, each once however many clients read it. Used from one event loop."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._readers: Counter[int] = Counter()

    @contextmanager
    def holding(self, data: bytes) -> Iterator[None]:
        """Inside the `with`, these bytes are taken."""
        identity = id(data)  # stays its own while the caller has the bytes
        if not self._readers[identity]:
            self._admission.hold(len(data))
        self._readers[identity] += 1
        try:
            yield
        finally:
            self._readers[identity] -= 1
            if not self._readers[identity]:
                del self._readers[identity]
                self._admission.hold(-len(data))
