"""A collector of OpenTelemetry's spans: it takes OTLP over HTTP, and keeps them for tests to look at."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from waiting import PATIENCE


class Collector:
    """What has arrived at `url`. resources: of each export, name -> value."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.resources: list[dict[str, object]] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def wait_for(self, trace: str, count: int) -> dict[str, list[Span]]:
        """The spans of a trace by name, once there are so many; fails when there are more."""
        deadline = time.monotonic() + PATIENCE
        while len(found := [span for span in self.spans if span.trace_id.hex() == trace]) < count:
            assert time.monotonic() < deadline, [span.name for span in found]
            time.sleep(0.01)
        assert len(found) == count, [span.name for span in found]
        named: dict[str, list[Span]] = {}
        for span in sorted(found, key=lambda span: span.start_time_unix_nano):
            named.setdefault(span.name, []).append(span)
        return named


def attributes(span) -> dict[str, object]:
    """Attributes of a span or a resource, name -> value."""

    def plain(value: AnyValue) -> object:
        return getattr(value, value.WhichOneof("value"))

    return {item.key: plain(item.value) for item in span.attributes}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
