"""Latency and peak memory of the gateway for one frame size, over HTTP on this machine.

python -m benchmarks.serving REPOSITORY --scene NAME
"""

import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import tyro

from benchmarks.machine import facts
from export.speed.measure import peak_memory


@dataclass(frozen=True)
class Arguments:
    """Measure `neurocity-serve` on a model repository."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to render."""
    engine: str = "onnxruntime"
    """Engine of the gateway."""
    size: int = 800
    """Width and height of the frames, in pixels."""
    frames: int = 5
    """Frames to request, at equal angles around the scene."""
    port: int = 8765
    """Port for the gateway."""


def main() -> None:
    """Print seconds a frame and the gateway's peak resident memory."""
    arguments = tyro.cli(Arguments, description=__doc__)
    program = str(Path(sys.executable).with_name("neurocity-serve"))
    options = ["--repository", str(arguments.repository), "--engine", arguments.engine]
    command = [program, *options, "--port", str(arguments.port)]
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gateway:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{arguments.port}", timeout=300.0) as client:
                _wait(client, gateway)
                seconds = [_frame(client, arguments, index) for index in range(arguments.frames)]
            peak = peak_memory(gateway.pid) or math.nan
        finally:
            gateway.terminate()
    print(f"{facts()}; {arguments.engine}, {arguments.size}x{arguments.size}, {arguments.frames} frames\n")
    print(f"median {statistics.median(seconds):.2f} s a frame, peak resident memory {peak / 2**20:.0f} MiB")


def _wait(client: httpx.Client, gateway: psutil.Popen) -> None:
    for _ in range(600):
        if gateway.poll() is not None:
            raise SystemExit(f"the gateway ended with code {gateway.returncode}")
        try:
            client.get("/livez").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the gateway did not answer within a minute")


def _frame(client: httpx.Client, arguments: Arguments, index: int) -> float:
    scene = client.get(f"/v1/scenes/{arguments.scene}").raise_for_status().json()
    low, high = scene["bounds"][:3], scene["bounds"][3:]
    target = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    radius = 1.3 * max(b - a for a, b in zip(low, high, strict=True))
    orbit = {
        "azimuth": 360.0 * index / arguments.frames,
        "elevation": 30.0,
        "radius": radius,
        "target": target,
    }
    body = {
        "camera": {"orbit": orbit, "fov_y_degrees": 40.0},
        "width": arguments.size,
        "height": arguments.size,
    }
    began = time.perf_counter()
    client.post(f"/v1/scenes/{arguments.scene}/render", json=body).raise_for_status()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
