"""Gateways that make films of the analytic scene, orders of films, and what is seen of them by HTTP."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import analytic_scene
import httpx
from gateway_server import running_gateway
from test_serving_drain import PausedEngine
from waiting import PATIENCE

from serving.app import create_app
from serving.settings import Settings

EYES = ([3.0, -3.0, 2.0], [3.0, 3.0, 2.0])
SIZE = {"width": 32, "height": 24}


def order(frames: int = 5, **changes: Any) -> dict[str, Any]:
    """A film of so many frames, whose first and last look from `EYES`."""
    keyframes = [
        {"look_at": {"eye": eye, "target": [0, 0, 0]}, "seconds": seconds}
        for eye, seconds in zip(EYES, (0.0, (frames - 1) / 10), strict=True)
    ]
    return (
        {"camera_path": {"keyframes": keyframes}, "frames_per_second": 10, "format": "zip"} | SIZE | changes
    )


def submit(client: httpx.Client, **changes: Any) -> str:
    """Ask for a film; its path."""
    answer = client.post("/v1/scenes/sphere/videos", json=order(**changes))
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def events(client: httpx.Client, film: str) -> list[dict[str, Any]]:
    """What its events tell, from now to its end."""
    with client.stream("GET", f"{film}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [
            json.loads(line.removeprefix("data:")) for line in stream.iter_lines() if line.startswith("data:")
        ]


def ended(client: httpx.Client, film: str) -> dict[str, Any]:
    """The film when it has ended."""
    return events(client, film)[-1]


def until(client: httpx.Client, film: str, state: str, frames: int = 0) -> dict[str, Any]:
    """The film as soon as it is in that state, with at least so many frames done."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        told = client.get(film).json()
        if told["state"] == state and told["frames_done"] >= frames:
            return dict(told)
        time.sleep(0.01)
    raise AssertionError(f"{film} is {told}")


@contextmanager
def prompt_gateway(folder: Path) -> Iterator[httpx.Client]:
    """The client of a gateway that renders version 3 of the sphere without delay."""
    repository = analytic_scene.write_repository(folder / "models", "onnx", version=3)
    settings = Settings(repository=repository, videos=folder / "films", max_video_pixels=10**7)
    with running_gateway(create_app(settings)) as client:
        yield client


@contextmanager
def paused_gateway(folder: Path) -> Iterator[tuple[httpx.Client, PausedEngine]]:
    """The client and the engine of a gateway that renders when it is told to; one client may have 2 films."""
    engine = PausedEngine()
    settings = Settings(videos=folder / "films", max_videos_per_client=2, max_videos=3)
    with running_gateway(create_app(settings, engine)) as client:
        yield client, engine
        engine.go_on.set()
