"""What clients send for a film, and what they are told of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from neurocity.camera_path.path import FASTEST, InstantNGPSpace
from neurocity.pictures.options import Axes, ColormapName, OutputName, PictureOptionsError, RenderOptions
from serving.http.camera_forms import Number, RequestModel, Vector
from serving.http.schemas import Background, Far, Near, Pixels, Quality
from serving.problem import Problem, problem_of
from serving.videos.job import FilmFormat, Job, Order, State

DEFAULT_COLORMAP: ColormapName = "turbo"

EXAMPLES: dict[str, dict[str, Any]] = {
    "keyframes": {
        "camera_path": {
            "keyframes": [
                {"look_at": {"eye": [3, -3, 2], "target": [0, 0, 0]}, "seconds": 0},
                {"look_at": {"eye": [3, 3, 2], "target": [0, 0, 0]}, "seconds": 2},
            ]
        },
        "width": 320,
        "height": 240,
        "frames_per_second": 12,
        "format": "webm",
    },
    "nerfstudio": {
        "camera_path": {
            "render_width": 320,
            "render_height": 240,
            "fps": 24,
            "seconds": 0.125,
            "camera_path": [
                {"camera_to_world": [1, 0, 0, x, 0, 0, -1, -4, 0, 1, 0, 0, 0, 0, 0, 1], "fov": 45}
                for x in (0.0, 0.1, 0.2)
            ],
        },
        "output": "depth",
        "near": 2,
        "far": 6,
    },
}


class InstantNGP(RequestModel):
    """How instant-ngp placed a capture in its unit cube: `scale` and `offset` of its transforms.json."""

    scale: Annotated[Number, Field(gt=0)] = 0.33
    offset: Vector = (0.5, 0.5, 0.5)


class VideoRequest(RequestModel):
    """A film: a camera path, what to see of it and how to encode it.

    What is left out is as the camera path says it.
    """

    camera_path: dict[str, Any]
    """The content of nerfstudio's camera_path.json, of a transforms.json, of instant-ngp's base_cam.json, or
    keyframes; in world coordinates."""
    format: FilmFormat = "mp4"
    """mp4 (H.264), webm (VP9), or zip (a PNG a frame)."""
    width: Pixels | None = None
    height: Pixels | None = None
    frames_per_second: Annotated[Number, Field(gt=0, le=FASTEST)] | None = None
    instant_ngp: InstantNGP | None = None
    """For base_cam.json, of a capture that was not placed as usual."""
    output: OutputName = "rgb"
    """rgb, depth (by a colormap, between near and far), opacity, or normal."""
    background: Background = "scene"
    """Behind what is not opaque: the scene's own background, a hex colour, or [r, g, b] in 0..1."""
    quality: Quality | None = None
    """Of mp4 and webm."""
    colormap: ColormapName | None = None
    """Colours of a depth; turbo by default."""
    near: Near | None = None
    """Depth at the near end of the colormap; a film of depth needs it, so that its colours stay the same."""
    far: Far | None = None
    """Depth at its far end."""
    axes: Axes | None = None
    """Of a normal: those of the world, or the camera's."""

    def to_order(self) -> Order:
        """The film as an order. Raises PictureOptionsError where fields contradict each other."""
        if self.format == "zip" and self.quality is not None:
            raise PictureOptionsError("quality is for mp4 and webm; a zip's pictures lose nothing", "quality")
        colormap = self.colormap
        if self.output == "depth":
            colormap = colormap or DEFAULT_COLORMAP
            if self.near is None or self.far is None:
                missing = "near" if self.near is None else "far"
                raise PictureOptionsError(
                    f"a film of depth needs {missing}, for one scale of colours", missing
                )
        return Order(
            camera_path=self.camera_path,
            format=self.format,
            width=self.width,
            height=self.height,
            frames_per_second=self.frames_per_second,
            instant_ngp=InstantNGPSpace(**self.instant_ngp.model_dump()) if self.instant_ngp else None,
            options=RenderOptions(
                output=self.output,
                background=self.background,
                colormap=colormap,
                near=self.near,
                far=self.far,
                axes=self.axes,
            ),
            quality=self.quality,
        )


class VideoJob(BaseModel):
    """A film, and how far it is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    scene: str
    scene_version: int
    """The version of the scene that the whole film shows."""
    state: State
    """queued, rendering, encoding (the file is being finished), done, failed or cancelled."""
    format: FilmFormat
    output: OutputName
    width: int
    height: int
    frames: int
    frames_per_second: float
    """Of the film."""
    frames_done: int
    rendered_per_second: float | None
    """Frames, lately."""
    seconds_left: float | None
    """Until all frames are rendered, about."""
    restarts: int
    """How often the film was begun anew, because a gateway ended."""
    bytes: int | None
    """Of the result."""
    created: datetime
    expires: datetime | None
    """When the film is removed."""
    error: Problem | None
    """Why it failed."""


class VideoList(BaseModel):
    """The films of a client, the oldest first."""

    videos: list[VideoJob]


def describe_job(job: Job, expires: float | None) -> VideoJob:
    """What a client is told of a job. expires: in seconds since 1970."""
    record = job.record
    failure = record.failure
    return VideoJob(
        **record.model_dump(
            include={"id", "scene", "scene_version", "state", "format", "output", "width", "height", "frames"}
        ),
        frames_per_second=record.frames_per_second,
        frames_done=job.frames_done,
        rendered_per_second=job.rendered_per_second and round(job.rendered_per_second, 3),
        seconds_left=job.seconds_left and round(job.seconds_left, 1),
        restarts=record.restarts,
        bytes=record.bytes,
        created=datetime.fromtimestamp(record.created, UTC),
        expires=None if expires is None else datetime.fromtimestamp(expires, UTC),
        error=None if failure is None else problem_of(failure.status, failure.slug, failure.detail),
    )
