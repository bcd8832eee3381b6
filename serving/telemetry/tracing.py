"""Whether requests are traced, and where to."""

import importlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from neurocity.errors import MissingDependencyError
from serving.spans import Value

STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables that name a collector for every program of a machine."""


class RequestSpan(Protocol):
    """The span of one request."""

    def ended(self, name: str, about: Mapping[str, Value], failure: str) -> None:
        """Say what the request was. failure: what became of it where it failed; else empty."""


class Tracing(Protocol):
    """Where the spans of one application go."""

    def request(self, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """Inside the `with`, `spans.TRACE` is that of a request which came with these headers."""

    def close(self) -> None:
        """Send what is left, and wait for that for a little while."""


def open_tracing(endpoint: str | None, version: str) -> Tracing | None:
    """What sends spans to that collector, or to the one that the standard variables name; None without any.

    None too where the standard variable `OTEL_SDK_DISABLED` is true.
    endpoint: base URL of OTLP over HTTP. version: of this program.
    Raises MissingDependencyError when the packages are absent.
    """
    named = endpoint is not None or any(map(os.environ.get, STANDARD_ENDPOINTS))
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        module = importlib.import_module("serving.telemetry.open_telemetry")
    except ImportError as error:
        raise MissingDependencyError(
            f"tracing needs a package that is not installed ({error}); install neurocity[otel]"
        ) from error
    tracing: Tracing = module.OpenTelemetry(endpoint, version)
    return tracing
