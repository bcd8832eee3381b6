"""Metrics for Prometheus. One process has one registry; there is no multiprocess mode.

Labels are bounded: routes and not paths, scenes that are served, methods and statuses that are known.
"""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

MEDIA_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0)
"""Seconds: OpenTelemetry's of http.server.request.duration, and two more, up to a render's time-out."""


class Metrics:
    """The metrics of one application."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("neurocity_build", "The program.", registry=self.registry).info({"version": version})
        self._requests = Counter(
            "http_requests", "Answers.", ("handler", "method", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "http_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("handler", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._response_bytes = Counter(
            "http_response_bytes", "Bytes of answers' bodies.", ("handler",), registry=self.registry
        )
        self.active_requests = Gauge(
            "http_active_requests", "Requests without an answer yet.", registry=self.registry
        )
        self._render_seconds = Histogram(
            "neurocity_render_seconds",
            "Stages of pictures that were made.",
            ("scene", "engine", "stage"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._pixels = Counter(
            "neurocity_pixels",
            "Pixels of pictures that were made.",
            ("scene", "engine"),
            registry=self.registry,
        )

    def answered(self, handler: str, method: str, status: int, seconds: float, size: int) -> None:
        """Count an answer; handler: the path of the route, with its parameters' names."""
        self._requests.labels(handler, method, str(status)).inc()
        self._request_seconds.labels(handler, method).observe(seconds)
        self._response_bytes.labels(handler).inc(size)

    def made(self, scene: str, engine: str, pixels: int, milliseconds: dict[str, float]) -> None:
        """Count a picture of that many pixels; milliseconds: stage (compute, encode) -> the time it took."""
        for stage, took in milliseconds.items():
            self._render_seconds.labels(scene, engine, stage).observe(took / 1e3)
        self._pixels.labels(scene, engine).inc(pixels)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, `MEDIA_TYPE`."""
        return generate_latest(self.registry)
