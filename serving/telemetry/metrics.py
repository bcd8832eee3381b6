"""Metrics for Prometheus. One process has one registry; there is no multiprocess mode.

Labels are bounded: routes and not paths, scenes that are served, methods and statuses that are known.
"""

from collections.abc import Callable
from functools import cache

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
        self.active_requests = Gauge(
            "http_active_requests", "Requests without an answer yet.", registry=self.registry
        )
        # What `labels` finds is kept: it takes longer than to count.
        self._requests = cache(self._counter("http_requests", "Answers.", "handler", "method", "status"))
        self._bytes = cache(self._counter("http_response_bytes", "Bytes of answers' bodies.", "handler"))
        self._seconds = cache(
            self._histogram(
                "http_request_duration_seconds", "From a request's head to its answer.", "handler", "method"
            )
        )
        self._rejected = cache(self._counter("neurocity_rejected", "Answers that are problems.", "reason"))
        self._stages = cache(
            self._histogram("neurocity_render_seconds", "Stages of pictures.", "scene", "engine", "stage")
        )
        self._pixels = cache(self._counter("neurocity_pixels", "Pixels of pictures.", "scene", "engine"))

    def answered(self, handler: str, method: str, status: int, seconds: float, size: int) -> None:
        """Count an answer; handler: the path of the route, with its parameters' names."""
        self._requests(handler, method, status).inc()
        self._seconds(handler, method).observe(seconds)
        self._bytes(handler).inc(size)

    def rejected(self, reason: str) -> None:
        """Count an answer that is a problem, or a connection that was refused; reason: the problem's slug."""
        self._rejected(reason).inc()

    def made(self, scene: str, engine: str, pixels: int, seconds: dict[str, float]) -> None:
        """Count a picture of that many pixels; seconds: stage (queue, compute, encode) -> its time."""
        for stage, took in seconds.items():
            self._stages(scene, engine, stage).observe(took)
        self._pixels(scene, engine).inc(pixels)

    def _counter(self, name: str, meaning: str, *labels: str) -> Callable[..., Counter]:
        return Counter(name, meaning, labels, registry=self.registry).labels

    def _histogram(self, name: str, meaning: str, *labels: str) -> Callable[..., Histogram]:
        return Histogram(name, meaning, labels, buckets=BUCKETS, registry=self.registry).labels

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, `MEDIA_TYPE`."""
        return generate_latest(self.registry)
