"""Metrics for Prometheus. One process has one registry; there is no multiprocess mode.

Labels are bounded: routes and not paths, scenes that are served, methods and statuses that are known.
"""

from collections.abc import Callable, Iterator, Mapping
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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

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
        self._video_frames = cache(self._counter("neurocity_video_frames", "Frames of films.", "scene"))
        self._pixels = cache(self._counter("neurocity_pixels", "Pixels of pictures.", "scene", "engine"))
        self._live_frames = cache(
            self._counter("neurocity_live_frames", "Frames and tiles that live views were sent.", "scene")
        )
        self._live_dropped = cache(
            self._counter(
                "neurocity_live_dropped", "Cameras of live views for which a newer one came in time.", "scene"
            )
        )

        self._city_pictures = {"full": 0, "coarse": 0}
        self.count_by(
            "neurocity_city_pictures",
            "Pictures of cities: full, or coarse where blocks were not there in time.",
            "detail",
            lambda: self._city_pictures,
        )

    def answered(self, handler: str, method: str, status: int, seconds: float | None, size: int) -> None:
        """Count an answer; handler: the path of the route, with its parameters' names.

        seconds: None of a WebSocket, which lasts as long as somebody looks.
        """
        self._requests(handler, method, status).inc()
        if seconds is not None:
            self._seconds(handler, method).observe(seconds)
        self._bytes(handler).inc(size)

    def rejected(self, reason: str) -> None:
        """Count an answer that is a problem, or a connection that was refused; reason: the problem's slug."""
        self._rejected(reason).inc()

    def live_frame(self, scene: str) -> None:
        """Count a frame of a live view of a scene that is served."""
        self._live_frames(scene).inc()

    def live_dropped(self, scene: str) -> None:
        """Count a camera of a live view that no frame was made of."""
        self._live_dropped(scene).inc()

    def made(self, scene: str, engine: str, pixels: int, seconds: dict[str, float]) -> None:
        """Count a picture of that many pixels; seconds: stage (queue, compute, encode) -> its time."""
        for stage, took in seconds.items():
            self._stages(scene, engine, stage).observe(took)
        self._pixels(scene, engine).inc(pixels)

    def city_picture(self, *, coarse: bool) -> None:
        """Count a picture of a city; coarse: whether blocks were not there in time."""
        self._city_pictures["coarse" if coarse else "full"] += 1

    def video_frame(self, scene: str) -> None:
        """Count a frame of a film of a scene that is served."""
        self._video_frames(scene).inc()

    def _counter(self, name: str, meaning: str, *labels: str) -> Callable[..., Counter]:
        return Counter(name, meaning, labels, registry=self.registry).labels

    def _histogram(self, name: str, meaning: str, *labels: str) -> Callable[..., Histogram]:
        return Histogram(name, meaning, labels, buckets=BUCKETS, registry=self.registry).labels

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A counter that is read when it is asked for."""
        about = (name, meaning, "")
        self.registry.register(_Read(CounterMetricFamily, about, lambda: {"": value()}))

    def watch_by(
        self, name: str, meaning: str, label: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        """Gauges by a label whose values, which must be few, are read when they are asked for."""
        self.registry.register(_Read(GaugeMetricFamily, (name, meaning, label), values))

    def count_by(
        self, name: str, meaning: str, label: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        """Counters by a label, likewise; what is read never decreases."""
        self.registry.register(_Read(CounterMetricFamily, (name, meaning, label), values))

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, `MEDIA_TYPE`."""
        return generate_latest(self.registry)


class _Read(Collector):
    """A metric by one label that is read when it is asked for.

    about: its name, its meaning, and the label, which may be empty for none.
    """

    def __init__(
        self,
        kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
        about: tuple[str, str, str],
        values: Callable[[], Mapping[str, float]],
    ) -> None:
        self._kind, self._about, self._values = kind, about, values

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        name, meaning, label = self._about
        family = self._kind(name, meaning, labels=[label] if label else [])
        for value, number in self._values().items():
            family.add_metric([value] if label else [], number)
        yield family
