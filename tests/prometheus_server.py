"""Runs Debian's Prometheus with what the project ships, made quick, and asks it for targets and alerts."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import PATIENCE

from deploy.ports import free_port

SHIPPED = Path(__file__).parents[1] / "deploy" / "prometheus"


def needs(program: str) -> str:
    """The program's path; skips where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian's package prometheus has it)")
    return found


def promtool(*words: str | Path) -> None:
    """Run a check of promtool; fails the test with what it says."""
    done = subprocess.run([needs("promtool"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def quick(text: str) -> str:
    """A configuration or rules that look every second, and alerts that wait for one."""
    return re.sub(r"for: \d+m", "for: 1s", text).replace("15s", "1s")


@contextmanager
def started(*words: object, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed when the context ends, if it has not been before."""
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Prometheus:
    """What a Prometheus says over its HTTP interface; nothing, while it starts."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _ask(self, path: str, **query: str) -> dict[str, Any]:
        try:
            answer = self._client.get(path, params=query)
        except httpx.TransportError:
            return {}
        return answer.json()["data"] if answer.status_code == 200 else {}

    def up(self) -> dict[str, str]:
        """Each target with 1 when it could be read, and 0 otherwise."""
        found = self._ask("/query", query="up").get("result", [])
        return {item["metric"]["instance"]: item["value"][1] for item in found}

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, with the target of each."""
        alerts = self._ask("/alerts").get("alerts", [])
        labels = [item["labels"] for item in alerts if item["state"] == "firing"]
        return {(item["alertname"], item.get("instance", "")) for item in labels}


@contextmanager
def prometheus(arguments: Sequence[str]) -> Iterator[Prometheus]:
    """A Prometheus on a free port, which is started with these arguments."""
    port = free_port()
    with (
        started(needs("prometheus"), *arguments, f"--web.listen-address=127.0.0.1:{port}"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=PATIENCE) as client,
    ):
        yield Prometheus(client)
