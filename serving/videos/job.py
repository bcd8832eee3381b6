"""A film that somebody asked for, and how far it is."""

import asyncio
import time
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from neurocity.camera_path.path import InstantNGPSpace
from neurocity.pictures.options import OutputName, RenderOptions
from serving.render.quotas import Client

State = Literal["queued", "rendering", "encoding", "done", "failed", "cancelled"]
"""encoding: all frames are rendered, and the file is being finished."""

STATES: tuple[State, ...] = get_args(State)
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})

FilmFormat = Literal["mp4", "webm", "zip"]

SPEED_FRAMES = 10
"""Frames that the speed is averaged over, about."""


class Order(BaseModel):
    """What a film shows, as it was asked for.

    width, height, frames_per_second, instant_ngp: None where the camera path's own hold, or the usual ones.
    options: of its frames, as pictures. quality: of the film, 1 to 100.
    """

    model_config = ConfigDict(frozen=True)

    camera_path: dict[str, Any]
    format: FilmFormat
    width: int | None
    height: int | None
    frames_per_second: float | None
    instant_ngp: InstantNGPSpace | None
    options: RenderOptions
    quality: int | None


class Failure(BaseModel):
    """Why a film was not made: the HTTP status and the slug that the error has, and what clients are told."""

    model_config = ConfigDict(frozen=True)

    status: int
    slug: str
    detail: str


class Record(BaseModel):
    """What is kept of a job on disk, beside its order.

    owner: the name of the API key that it belongs to, or None. client: who asked.
    artefact_sha256: of the version of the scene that the film shows. created, ended: seconds since 1970.
    restarts: how often a process began it anew. crashes: those of them that followed on an unclean end.
    bytes: of the film.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str | None
    client: Client
    scene: str
    scene_version: int
    artefact_sha256: str
    format: FilmFormat
    output: OutputName
    width: int
    height: int
    frames: int
    frames_per_second: float
    created: float
    state: State = "queued"
    ended: float | None = None
    restarts: int = 0
    crashes: int = 0
    bytes: int | None = None
    failure: Failure | None = None


class Job:
    """A record, the progress of this process, and those that watch it. Used from one event loop.

    task: what makes the film now. changed: set at the next change; another one then takes its place.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.frames_done = record.frames if record.state == "done" else 0
        self.rendered_per_second: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()
        self._last_frame_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.record.state in ENDED

    @property
    def seconds_left(self) -> float | None:
        """Until all frames are rendered; None where no speed is known."""
        if self.rendered_per_second is None or self.record.state != "rendering":
            return None
        return (self.record.frames - self.frames_done) / self.rendered_per_second

    def enter(self, record: Record) -> None:
        """Go on with that record. Each beginning counts the frames anew."""
        self.record = record
        if record.state == "queued":
            self.frames_done, self.rendered_per_second = 0, None
        if record.state == "rendering":
            self._last_frame_at = time.monotonic()
        self.tell()

    def frame_done(self) -> None:
        """Count a frame."""
        now = time.monotonic()
        took, self._last_frame_at = max(now - self._last_frame_at, 1e-6), now
        weight = 1 / min(self.frames_done + 1, SPEED_FRAMES)
        seconds = took if self.rendered_per_second is None else 1 / self.rendered_per_second
        self.rendered_per_second = 1 / (seconds + weight * (took - seconds))
        self.frames_done += 1
        self.tell()

    def tell(self) -> None:
        """Wake those that wait for `changed`."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
