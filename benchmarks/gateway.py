"""A gateway of a benchmark's own: started, waited for, and ended."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from serving.server.listener import open_listener


@contextmanager
def served(
    repository: Path | str, scene: str, port: int, *options: str
) -> Iterator[tuple[psutil.Popen, Any]]:
    """Inside the `with`, `neurocity-serve` answers: its process, and what it says of the scene.

    Raises SystemExit when something else has the port, it ends by itself, or does not answer within a minute.
    """
    try:
        open_listener("127.0.0.1", port).close()
    except OSError as error:  # another gateway there would be measured in its place
        raise SystemExit(f"port {port}: {error.strerror}") from None
    program = str(Path(sys.executable).with_name("neurocity-serve"))
    command = [program, "--repository", str(repository), "--port", str(port), *options]
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process, _description(process, f"http://127.0.0.1:{port}/v1/scenes/{scene}")
        finally:
            if process.poll() is None:
                process.terminate()


def _description(process: psutil.Popen, address: str) -> Any:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the gateway ended with code {process.returncode}")
        try:
            return httpx.get(address, timeout=30.0).raise_for_status().json()
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the gateway did not answer within a minute")
