"""The log of the process: text or JSON, with the id of the request that a line belongs to."""

import json
import logging
from contextvars import ContextVar
from typing import Literal

from serving.spans import trace_id

LogFormat = Literal["text", "json"]

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that is being answered; `-` outside of requests."""


def configure_logs(kind: LogFormat) -> None:
    """Let every line of the process have that form, and go to standard error."""
    # What no line shows is not looked up; https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler()
    handler.addFilter(_add_request)
    text = logging.Formatter("%(asctime)s %(levelname)s [%(request)s] %(message)s")
    handler.setFormatter(JsonLines() if kind == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


class JsonLines(logging.Formatter):
    """A line as one JSON object: time (ISO 8601, UTC offset), level, logger, request_id, message.

    Where the request is traced, trace_id too.

    What was logged with `extra={"fields": ...}` has these fields in place of the message.
    """

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """The object as JSON, on one line."""
        fields = getattr(record, "fields", None)
        trace = getattr(record, "trace_id", None)
        line = {
            "time": self.formatTime(record) + self.formatTime(record, "%z"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            **({} if trace is None else {"trace_id": trace}),
            **({"message": record.getMessage()} if fields is None else fields),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _add_request(record: logging.LogRecord) -> bool:
    record.request_id = request_id = REQUEST_ID.get()
    record.trace_id = trace = trace_id()
    record.request = request_id if trace is None else f"{request_id} {trace}"
    return True
