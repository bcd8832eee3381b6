"""What Triton's errors mean here."""

import pytest

from neurocity.errors import DeadlineExceededError, EngineError, EngineUnavailableError
from neurocity.triton_channel import engine_error, import_client


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        ("UNAVAILABLE", "failed to connect", EngineUnavailableError),
        ("UNAVAILABLE", "Request timeout expired", DeadlineExceededError),
        ("UNAVAILABLE", "Exceeds maximum queue size", EngineUnavailableError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceededError),
        ("NOT_FOUND", "Request for unknown model: 'x' version 2 is not found", EngineUnavailableError),
        ("INTERNAL", "Stub process 'x_0_0' is not healthy.", EngineUnavailableError),
        ("INTERNAL", "Fail: [ONNXRuntimeError] : 1", EngineError),
        ("INVALID_ARGUMENT", "unexpected shape", EngineError),
        ("RESOURCE_EXHAUSTED", "message larger than max", EngineError),
    ],
)
def test_statuses_become_errors(status, message, kind):
    exception = import_client().InferenceServerException(message, status=f"StatusCode.{status}")
    error = engine_error(exception, "host:8001")
    assert type(error) is kind
    assert str(error) == f"Triton at host:8001: {message} ({status})"
