"""A flight over a city, asked of a gateway picture by picture."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.gateway import served
from benchmarks.load.bench import percentile
from neurocity.city.ground import Rectangle
from neurocity.city.manifest import City

Array = npt.NDArray[np.float64]

AHEAD, ABOVE = 0.5, 0.25
"""How far ahead a camera looks, and how far it flies above what is highest; in cells."""
FOV = 50.0
OK, TOO_MANY = 200, 429
COARSE = "x-coarse-blocks"
LOADS = "neurocity_city_loads_total"
LOAD_SECONDS = "neurocity_city_load_seconds_total"
LEAST_WAIT = 1.0
"""Milliseconds; a look at what is in memory takes less."""
RESIDENT = "neurocity_city_resident_bytes"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Frame:
    """What came of a picture. coarse: whether something coarser stood in for blocks. waited: milliseconds for
    blocks that were not in memory.
    """

    status: int
    seconds: float
    coarse: bool
    waited: float


def way(city: City, top: float, frames: int) -> list[dict[str, Any]]:
    """Cameras as requests name them, evenly along a way over all cells, row by row, there and back.

    top: where the highest of the city is, along up.
    """
    ground = city.ground
    rectangle = Rectangle.around(city.owners)
    (i0, j0), (i1, j1) = rectangle.low, rectangle.high
    corners = [
        place
        for j in range(j0, j1 + 1)
        for place in (((i0, j), (i1, j)) if (j - j0) % 2 == 0 else ((i1, j), (i0, j)))
    ]
    # Cameras look on where the way ends, in the direction in which it goes there.
    (a, b), (c, d) = corners[-2:]
    corners.append((2 * c - a, 2 * d - b) if (a, b) != (c, d) else (c + 1, d))
    low = np.array([ground.low[axis] for axis in ground.axes])
    points = low + (np.array(corners) + 0.5) * ground.cell_side
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    sign = math.copysign(1.0, city.up[ground.up_axis])

    def at(distance: float, height: float) -> list[float]:
        place = np.empty(3)
        for axis, number in enumerate(ground.axes):
            place[number] = np.interp(distance, along, points[:, axis])
        place[ground.up_axis] = height
        return [float(value) for value in place + np.array(city.origin)]

    ahead, height = AHEAD * ground.cell_side, top + sign * ABOVE * ground.cell_side
    return [
        {"look_at": {"eye": at(eye, height), "target": at(eye + ahead, 0.0)}, "fov_y_degrees": FOV}
        for eye in np.linspace(0.0, along[-2], frames).tolist()
    ]


def flown(
    repository: Path,
    scene: str,
    port: int,
    options: Sequence[str],
    cameras: list[dict[str, Any]],
    size: tuple[int, int],
) -> dict[str, Any]:
    """Figures of a flight of a gateway that just started, `cold`, and of the same once more, `warm`."""
    width, height = size
    with (
        served(repository, scene, port, "--cache-bytes", "0", *options) as (process, described),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as client,
    ):

        def once() -> dict[str, Any]:
            frames = []
            before = _loads(client)
            for camera in cameras:
                answer = client.post(
                    f"/v1/scenes/{scene}/render",
                    json={"camera": camera, "width": width, "height": height, "format": "jpeg"},
                )
                if 400 <= answer.status_code < 500 and answer.status_code != TOO_MANY:
                    raise SystemExit(f"the gateway answered {answer.status_code}: {answer.text}")
                frames.append(
                    Frame(
                        status=answer.status_code,
                        seconds=answer.elapsed.total_seconds(),
                        coarse=COARSE in answer.headers,
                        waited=_waited(answer.headers.get("server-timing", "")),
                    )
                )
            after = _loads(client)
            return summary(frames) | {name: after[name] - before[name] for name in after}

        flights = {"cold": once(), "warm": once()}
        return {
            **flights,
            "engine": described["engine"],
            "resident_mib": _sample(client, RESIDENT) / MEBIBYTE,
            "process_mib": process.memory_info().rss / MEBIBYTE,
        }


def summary(frames: Sequence[Frame]) -> dict[str, Any]:
    """Figures of a flight's frames; times in milliseconds."""
    made = [frame for frame in frames if frame.status == OK]

    def times(which: Callable[[Frame], bool]) -> dict[str, float]:
        chosen = [1e3 * frame.seconds for frame in made if which(frame)]
        return {"frames": len(chosen), "p50": percentile(chosen, 50), "p95": percentile(chosen, 95)}

    return {
        "frames": len(frames),
        "refused": len(frames) - len(made),
        "all": times(lambda _: True),
        "waited": times(lambda frame: frame.waited >= LEAST_WAIT),
        "resident": times(lambda frame: frame.waited < LEAST_WAIT),
        "coarse": sum(frame.coarse for frame in made),
    }


def _waited(timing: str) -> float:
    """Milliseconds of `load` in a Server-Timing header."""
    found = re.search(r"\bload;dur=([\d.]+)", timing)
    return float(found[1]) if found else 0.0


def _loads(client: httpx.Client) -> dict[str, float]:
    """Models that were loaded so far, also ahead of pictures, and the seconds that it took."""
    return {"loads": _sample(client, LOADS), "load_seconds": _sample(client, LOAD_SECONDS)}


def _sample(client: httpx.Client, name: str) -> float:
    """The sum of a metric over its labels."""
    text = client.get("/metrics").raise_for_status().text
    samples = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]
    return sum(samples)
