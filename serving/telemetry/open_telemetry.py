"""Spans by OpenTelemetry, sent as OTLP over HTTP. Needs the extra `otel`.

Sampling, service name, headers, compression and the rest are set by OpenTelemetry's own variables:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import DEFAULT_TRACES_EXPORT_PATH, OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.spans import TRACE, Value

CLOSE_SECONDS = 2.0
"""How long the end of the process waits for a collector, which may be gone."""

_CONTEXT = TraceContextTextMapPropagator()


class OpenTelemetry:
    """See `tracing.Tracing`; `open_tracing` makes it."""

    def __init__(self, endpoint: str | None, version: str) -> None:
        known = {"service.name": "neurocity", "service.version": version}
        named = OTELResourceDetector().detect().attributes
        resource = Resource.create({name: value for name, value in known.items() if name not in named})
        address = None if endpoint is None else f"{endpoint.rstrip('/')}/{DEFAULT_TRACES_EXPORT_PATH}"
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(address)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("neurocity", version)

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator["_Request"]:
        """See `tracing.Tracing`. The trace stays in the context: some answers are made behind the `with`."""
        # No part of what is being done now: a connection's next request begins in the task of the one before.
        caller = _CONTEXT.extract(headers, Context())
        with self._tracer.start_as_current_span("request", caller, SpanKind.SERVER) as span:
            TRACE.set(_Trace(self._tracer, format_trace_id(span.get_span_context().trace_id)))
            yield _Request(span)

    def close(self) -> None:
        """See `tracing.Tracing`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            self._exporter.shutdown()  # it would try again for long
            closing.join(CLOSE_SECONDS)


class _Request:
    """See `tracing.RequestSpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, name: str, about: Mapping[str, Value], failure: str) -> None:
        self._span.update_name(name)
        self._span.set_attributes(dict(about))
        if failure:
            self._span.set_status(StatusCode.ERROR, failure)


class _Trace:
    """See `spans.Trace`."""

    def __init__(self, tracer: Tracer, identity: str) -> None:
        self._tracer = tracer
        self.identity = identity

    @contextmanager
    def span(self, name: str, about: dict[str, Value]) -> Iterator["_Span"]:
        # Without the exception's own event: its traceback costs more than to refuse a request.
        with self._tracer.start_as_current_span(
            name, attributes=about, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield _Span(self._tracer, span)
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier)
        return carrier


def _ahead() -> int:
    """How far 1970's clock is ahead of the one that spans are measured by, in nanoseconds.

    Both cannot be read at once, and other work may come between: the reading that took least time is taken.
    """
    readings = []
    for _ in range(3):
        before = time.perf_counter_ns()
        now = time.time_ns()
        after = time.perf_counter_ns()
        readings.append((after - before, now - (before + after) // 2))
    return min(readings)[1]


class _Span:
    """See `spans.Span`."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    def past(
        self, name: str, begin: float, end: float, events: Sequence[tuple[str, float]] = (), **about: Value
    ) -> "_Span":
        ahead = _ahead()  # of 1970's clock

        def since_1970(instant: float) -> int:
            return ahead + round(instant * 1e9)

        part = self._tracer.start_span(
            name, set_span_in_context(self._span, Context()), attributes=about, start_time=since_1970(begin)
        )
        for event, instant in events:
            part.add_event(event, timestamp=since_1970(instant))
        part.end(since_1970(end))
        return _Span(self._tracer, part)
