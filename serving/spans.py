"""Spans: what a request's work was made of, told to whoever traces it.

Nobody does, unless `telemetry/tracing.py` is told to; then a `Trace` stands in the context of each request,
which its tasks and threads inherit. Times are those of `time.perf_counter()`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol

Value = str | int | float


class Span(Protocol):
    """A piece of work that is being traced."""

    def past(
        self, name: str, begin: float, end: float, events: Sequence[tuple[str, float]] = (), **about: Value
    ) -> "Span":
        """A part of it that is over. events: names and instants."""


class Trace(Protocol):
    """Where the spans of one request go. identity: the trace's, 32 hexadecimal digits."""

    identity: str

    def span(self, name: str, about: dict[str, Value]) -> AbstractContextManager[Span]:
        """A part of what is being done now."""

    def headers(self) -> dict[str, str]:
        """What a neighbour is told, so that its spans become parts of what is being done now."""


TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The trace of the request that is being answered; None where nobody traces it."""


class _Untraced:
    """The span of nothing."""

    def past(
        self, name: str, begin: float, end: float, events: Sequence[tuple[str, float]] = (), **about: Value
    ) -> Span:
        del name, begin, end, events, about
        return self


_UNTRACED = nullcontext[Span](_Untraced())


def span(name: str, **about: Value) -> AbstractContextManager[Span]:
    """Inside the `with`, that is being done; what is traced meanwhile, also in new tasks, is a part of it."""
    trace = TRACE.get()
    return _UNTRACED if trace is None else trace.span(name, about)


def trace_id() -> str | None:
    """The identity of the request's trace."""
    trace = TRACE.get()
    return None if trace is None else trace.identity


def trace_headers() -> dict[str, str] | None:
    """`traceparent` and what belongs to it, for a call to a neighbour; https://www.w3.org/TR/trace-context/."""
    trace = TRACE.get()
    return None if trace is None else trace.headers()
