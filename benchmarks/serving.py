"""Latency and peak memory of the gateway for one frame size, over HTTP on this machine.

    python -m benchmarks.serving REPOSITORY --scene NAME
    python -m benchmarks.serving REPOSITORY --scene NAME --size 256 --frames 100 --format npy

The same views are rendered by the engine alone, in this process: the difference of the medians is what HTTP
adds.
"""

import asyncio
import json
import math
import statistics
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.gateway import served
from benchmarks.machine import facts
from export.speed.measure import peak_memory
from neurocity.cameras import Camera
from neurocity.pictures.options import FormatName
from neurocity.poses import orbit
from neurocity.world import camera_to_scene
from serving.scenes.opening import SceneOptions, open_scenes

FOV_Y_DEGREES = 40.0


@dataclass(frozen=True)
class Arguments:
    """Measure `neurocity-serve` on a model repository."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to render."""
    engine: str = "auto"
    """Engine of the gateway."""
    format: FormatName = "png"
    """Encoding of the frames."""
    size: int = 800
    """Width and height of the frames, in pixels."""
    frames: int = 5
    """Frames to request, at equal angles around the scene."""
    port: int = 8765
    """Port for the gateway."""


def main() -> None:
    """Print milliseconds a frame, those of the engine alone, and the gateway's peak resident memory."""
    arguments = tyro.cli(Arguments, description=__doc__)
    engine = ("--engine", arguments.engine)
    with served(arguments.repository, arguments.scene, arguments.port, *engine) as (process, scene):
        orbits = [_orbit(scene, index / arguments.frames) for index in range(arguments.frames)]
        seconds = _http_seconds(arguments, orbits)
        peak = peak_memory(process.pid) or math.nan
    alone = asyncio.run(_engine_seconds(arguments, orbits, scene))
    size = f"{arguments.size}x{arguments.size} {arguments.format}"
    print(f"{facts()}; {arguments.engine}, {size}, {arguments.frames} frames\n")
    over_http, by_engine = (1e3 * statistics.median(item) for item in (seconds, alone))
    print(
        f"median {over_http:.1f} ms a frame, {by_engine:.1f} ms of the engine alone: HTTP adds "
        f"{over_http - by_engine:.1f} ms; peak resident memory {peak / 2**20:.0f} MiB"
    )


def _orbit(scene: dict[str, Any], turn: float) -> dict[str, Any]:
    """Where a camera stands that has gone part of the way around the scene."""
    low, high = scene["bounds"][:3], scene["bounds"][3:]
    return {
        "azimuth": 360.0 * turn,
        "elevation": 30.0,
        "radius": 1.3 * max(b - a for a, b in zip(low, high, strict=True)),
        "target": [(a + b) / 2 for a, b in zip(low, high, strict=True)],
    }


async def _engine_seconds(
    arguments: Arguments, orbits: list[dict[str, Any]], scene: dict[str, Any]
) -> list[float]:
    """Seconds of the engine alone for the views of the frames."""
    scenes = await open_scenes(arguments.engine, SceneOptions(repository=arguments.repository))
    seconds = []
    for place in [orbits[0], *orbits]:
        pose = orbit(place["azimuth"], place["elevation"], place["radius"], place["target"], scene["up"])
        camera = Camera.from_fov_y(pose, arguments.size, arguments.size, FOV_Y_DEGREES)
        rays = camera_to_scene(camera, scene["origin"]).rays()
        began = time.perf_counter()
        await scenes.render(arguments.scene, rays, None)
        seconds.append(time.perf_counter() - began)
    await scenes.close()
    return seconds[1:]


def _http_seconds(arguments: Arguments, orbits: list[dict[str, Any]]) -> list[float]:
    """Seconds of the frames over one connection, by the client that costs least: its own time counts."""
    connection = HTTPConnection("127.0.0.1", arguments.port, timeout=300.0)
    seconds = []
    for place in [orbits[0], *orbits]:  # the first pays for what is kept
        body = {
            "camera": {"orbit": place, "fov_y_degrees": FOV_Y_DEGREES},
            "width": arguments.size,
            "height": arguments.size,
            "format": arguments.format,
        }
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/v1/scenes/{arguments.scene}/render", json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
        seconds.append(time.perf_counter() - began)
        if answer.status != HTTPStatus.OK:
            raise SystemExit(f"the gateway answered {answer.status}: {data.decode()}")
    connection.close()
    return seconds[1:]


if __name__ == "__main__":
    main()
