"""The processes in which a Triton server runs its models, when they die before or after it.

Triton's python backend runs each instance of a model in a process of its own, a stub. When a stub dies (out
of memory, a crash of a library) the server goes on to call its model ready, and every request for it fails.
When the server dies, its stubs may wait for it for ever (`triton-inference-server/server` issues 8604, 7230).
"""

import contextlib
import http.client
import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurocity.errors import EngineError
from serving.tritonserver.direct import open_direct

STUB = "triton_python_backend_stub"
PROCESSES = Path("/proc")
ANSWER_SECONDS = 10.0


def stubs_of(server_pid: int) -> dict[int, str]:
    """Process id -> model, of the stubs that run in the process group of a server, be it dead itself."""
    found = {}
    for folder in PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, group, *_ = _read(folder / "stat").rpartition(") ")[2].split()
            if int(group) != server_pid or state == "Z":
                continue
            program, artefact, *_ = [*_read(folder / "cmdline").split("\0"), ""]
            if Path(program).name == STUB:
                found[int(folder.name)] = Path(artefact).parent.parent.name  # <model>/<version>/<file>
    return found


def kill_stubs(server_pid: int) -> None:
    """End what a dead server has left behind, which also holds the pipe of its log."""
    for pid in stubs_of(server_pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class StubWatch:
    """Finds the models of a server whose stubs have died. http_url: `HOST:PORT` of its HTTP endpoint."""

    def __init__(self, server_pid: int, http_url: str) -> None:
        self._server_pid = server_pid
        self._http_url = http_url
        self._stubs: dict[int, str] = {}
        self._suspicious = True

    def lost(self) -> list[str]:
        """Models that the server calls ready, and that have fewer stubs than instances.

        The server is asked only where a stub may have gone, as it also does when a model is unloaded.
        """
        before, self._stubs = self._stubs, stubs_of(self._server_pid)
        self._suspicious |= not before.keys() <= self._stubs.keys()
        if not self._suspicious:
            return []
        try:
            instances = self._ready_instances()
        except OSError:  # it does not answer now, and is asked again
            return []
        self._suspicious = False
        # Counted after the answer: a model that is ready by then has its new stubs by then.
        running = Counter(stubs_of(self._server_pid).values())
        return sorted(model for model, count in instances.items() if running[model] < count)

    def reload(self, model: str, timeout_seconds: float) -> None:
        """Load a model anew, with new stubs; the server must let itself be told (`explicit`).

        Raises EngineError when it does not load.
        """
        self._suspicious = True  # the new ones have not been seen yet
        try:
            for step in ("unload", "load"):
                self._ask(f"repository/models/{model}/{step}", b"{}", timeout_seconds)
        except OSError as error:
            raise EngineError(f"model {model!r} could not be loaded again: {_reason(error)}") from error

    def _ready_instances(self) -> dict[str, int]:
        """Model -> instances of its ready versions. Raises OSError when the server cannot be asked."""
        index = self._ask("repository/index", b"{}")
        versions = Counter(entry["name"] for entry in index if entry.get("state") == "READY")
        return {
            model: count * _instances(self._ask(f"models/{model}/config"))
            for model, count in versions.items()
        }

    def _ask(self, path: str, body: bytes | None = None, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """What the server says to a GET, or with a body to a POST; None when it says nothing."""
        request = urllib.request.Request(f"http://{self._http_url}/v2/{path}", data=body)
        try:
            with open_direct(request, timeout=timeout_seconds) as answer:
                text = answer.read()
        except http.client.HTTPException as error:  # it died in the middle of its answer
            raise ConnectionError(str(error)) from error
        return json.loads(text) if text else None


def _read(file: Path) -> str:
    """A file of /proc, which is in no encoding. Raises OSError when its process has ended."""
    return os.fsdecode(file.read_bytes())


def _instances(config: Mapping[str, Any]) -> int:
    """Instances of a model's configuration as the server has completed it; one a device of each group."""
    return sum(group["count"] * max(len(group["gpus"]), 1) for group in config["instance_group"])


def _reason(error: OSError) -> str:
    """What the server said of its refusal, or else why there is no answer."""
    if isinstance(error, urllib.error.HTTPError):
        return error.read().decode(errors="replace")
    return str(error)
