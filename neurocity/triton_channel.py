"""How this project talks to a Triton server over gRPC: the client, its channel, and what its errors mean.

gRPC and not HTTP: its deadlines travel with a request, and Triton drops what nobody waits for.
"""

import importlib
from typing import Any

from neurocity.errors import (
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    MissingDependencyError,
)

CHANNEL_ARGUMENTS = [
    # A call may be any size; gRPC's own limit is 4 MiB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC waits up to two minutes before it tries a lost server again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]

_STATUS_ERRORS: dict[str, type[EngineError]] = {
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    # Connection refused or lost, queue full, server stopping.
    "UNAVAILABLE": EngineUnavailableError,
    # The server gave the request up although nobody here did.
    "CANCELLED": EngineUnavailableError,
    # The model, or this version of it, is not there, or no longer.
    "NOT_FOUND": EngineUnavailableError,
}
"""gRPC status -> error; any other status is an EngineError."""

_MESSAGE_ERRORS: dict[str, type[EngineError]] = {
    "Request timeout expired": DeadlineExceededError,
    "is not healthy": EngineUnavailableError,
}
"""Part of Triton's message -> error, where the status alone (UNAVAILABLE, INTERNAL) does not tell."""


def import_client(module: str = "tritonclient.grpc") -> Any:
    """`tritonclient.grpc`, or `tritonclient.grpc.aio`. Raises MissingDependencyError when it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"a Triton server is asked with tritonclient ({error}); pip install 'neurocity[triton]' brings it"
        ) from None


def engine_error(error: Any, url: str) -> EngineError:
    """What an `InferenceServerException` of the server at `url` means here."""
    status = str(error.status()).removeprefix("StatusCode.")
    message = str(error.message())
    kinds = [kind for part, kind in _MESSAGE_ERRORS.items() if part in message]
    kind = kinds[0] if kinds else _STATUS_ERRORS.get(status, EngineError)
    return kind(f"Triton at {url}: {message} ({status})")
