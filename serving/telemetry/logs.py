"""The log of the process: text or JSON, with the id of the request that a line belongs to."""

import json
import logging
from contextvars import ContextVar
from typing import Literal

LogFormat = Literal["text", "json"]

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that is being answered; `-` outside of requests."""


def configure_logs(kind: LogFormat) -> None:
    """Let every line of the process have that form, and go to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(_add_request_id)
    text = logging.Formatter("%(asctime)s %(levelname)s [%(request_id)s] %(message)s")
    handler.setFormatter(JsonLines() if kind == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


class JsonLines(logging.Formatter):
    """A line as one JSON object: time (ISO 8601, UTC offset), level, logger, request_id, message.

    What was logged with `extra={"fields": ...}` has these fields in place of the message.
    """

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """The object as JSON, on one line."""
        fields = getattr(record, "fields", None)
        line = {
            "time": self.formatTime(record) + self.formatTime(record, "%z"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            **({"message": record.getMessage()} if fields is None else fields),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = REQUEST_ID.get()
    return True
