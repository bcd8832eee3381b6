"""What every engine promises the gateway, and the registry of engines.

An engine opens versions of scenes, and renders rays of what it has opened. It knows nothing of cameras,
images or HTTP; the gateway knows nothing of what runs an artefact. `serving/scenes` says which versions there
are, and when they are opened and closed. A new engine is a module with an `Engine` class and one line in
`ENGINES`: settings, command line and tests follow from that line.

One conformance suite (`tests/test_every_engine.py`) runs on all engines.
"""

import importlib
import os
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from neurocity.cameras import Camera, Rays
from neurocity.contract import ArtefactFile, SceneManifest
from neurocity.errors import ConfigError, DeadlineExceededError, MissingDependencyError
from neurocity.light import Light
from neurocity.model_repository import Version


class EngineOptions(BaseModel):
    """What an engine may be told; each engine reads what concerns it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    repository: Annotated[str, BeforeValidator(os.fspath)] = "model_repository"
    """Model repository that in-process engines open, <scene>_<format>/<version>/: a folder, or the URL of
    object storage, such as s3://bucket/prefix."""

    precision: Literal["fp32", "fp16"] = "fp32"
    """Precision of the artefacts that in-process engines open."""

    triton_url: str | None = None
    """HOST:PORT of the Triton server's gRPC endpoint; needed by the triton engine."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where in-process engines compute; an absent device is an error, never a fallback."""

    threads: int = Field(default=0, ge=0)
    """Threads inside one call of an in-process engine; 0 for one a processor that the process may use."""

    concurrent_calls: int = Field(default=1, ge=1)
    """Calls that an in-process engine runs at the same time; further ones wait."""


class Served(NamedTuple):
    """What renders a scene: the name of an engine in `ENGINES`, and why it is that one."""

    engine: str
    reason: str


class OpenVersion(Protocol):
    """A version of a scene that an engine has opened. Methods are called from one event loop.

    maps_file: whether the artefact's bytes are mapped and so are no memory of the process's own.
    call_queue: of the engine's threads, where each render is one call that waits for those before it; None of
    an engine that cuts renders into calls, or waits for something else.
    """

    manifest: SceneManifest
    maps_file: bool
    call_queue: Hashable | None

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """Light of R >= 1 rays, without blocking the event loop.

        An engine may cut R into calls of at most the manifest's `rays_per_call`, so that memory stays bounded
        and the renders of several clients take turns.

        rays: with radii exactly where the manifest says that the scene takes them.
        deadline: instant on the clock of `time.monotonic()` after which nobody wants the result, or None.

        Cancelling the awaiting task drops the calls that are left, and stops the one in progress where the
        engine can.

        Raises DeadlineExceededError, EngineUnavailableError (worth trying again later), and EngineError when
        the rays are not what the scene takes, and when the call fails or does not give finite outputs of the
        right shapes.
        """

    def close(self) -> None:
        """Release what was opened; blocks. Calls that nobody waits for any more may still run."""


class Engine(Protocol):
    """Opens versions that stand in a model repository, and renders them in this process.

    name: of the engine in `ENGINES`. formats: the export format that it opens. devices: where it can compute.
    """

    name: str
    formats: tuple[str, ...]
    devices: tuple[str, ...]

    def __init__(self, options: EngineOptions) -> None:
        """Raises MissingDependencyError when a package or the device is absent."""

    def open(self, version: Version) -> OpenVersion:
        """The version, opened; blocks.

        Raises ManifestError (the artefact is not what its manifest says) and EngineError (it cannot be
        opened).
        """

    def close(self) -> None:
        """Release threads; blocks. The engine cannot be used afterwards."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A version of a scene that can be opened.

    served: what will render it. place: where it stands, for people.
    identity: equal for two offers exactly when they are of the same unchanged files.
    open: verifies and opens it; raises as `Engine.open`, and EngineUnavailableError.
    at_hand: what `open` reads is on this machine inside its `async with`; entering raises as `open`, and
        StorageError.
    files: the version in a repository; None where it stands with a server, and of a city.
    content: SHA-256 (hex) of what the picture of a camera in world coordinates is made of; None where that is
        the artefact, whatever the camera.
    """

    manifest: SceneManifest
    served: Served
    place: str
    identity: Hashable
    open: Callable[[], Awaitable[OpenVersion]]
    files: Version | None = None
    content: Callable[[Camera], str] | None = None
    at_hand: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class WebOffer:
    """A version of a scene that browsers draw themselves, from its files.

    identity: as of an `Offer`.
    at_hand: these files are on this machine inside its `async with`; entering raises as `Offer.at_hand`.
    """

    version: Version
    identity: Hashable
    at_hand: Callable[[Sequence[ArtefactFile]], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a source has at one moment.

    offers: scene name -> number of a version -> that version. web: the same of those that browsers draw.
    refused: place -> why what stands there is no version that can be rendered.
    """

    offers: Mapping[str, Mapping[int, Offer]]
    refused: Mapping[str, str] = field(default_factory=dict)
    web: Mapping[str, Mapping[int, WebOffer]] = field(default_factory=dict)


class Source(Protocol):
    """Where scenes come from: a model repository, or a server that has its own.

    calls_at_once: renders that are worth having under way at the same time.
    fills_processors: whether such renders take all processors that this process may use.
    loads: whether opening a version takes memory of this process.
    """

    calls_at_once: int
    fills_processors: bool
    loads: bool

    async def look(self) -> Found:
        """What is there now, without blocking the event loop.

        Raises ManifestError, StorageError, EngineError or EngineUnavailableError when nothing can be said of
        any scene.
        """

    async def close(self) -> None:
        """Release threads and connections. What was opened cannot be used afterwards."""


class EngineEntry(NamedTuple):
    """An engine's class as `module:class`, and what installs its library.

    automatic: the format whose scenes `AUTO` gives it, unless an engine before it has them.
    is_source: whether it is a `Source` of scenes, and not an `Engine` for those of a repository.
    """

    path: str
    install: str
    automatic: str = ""
    is_source: bool = False


AUTO = "auto"
"""In place of an engine's name: each scene by the first of the automatic ones that can render it."""

ENGINES: dict[str, EngineEntry] = {
    "native": EngineEntry("serving.engines.native_engine:NativeEngine", "neurocity", "native"),
    "onnxruntime": EngineEntry(
        "serving.engines.onnxruntime_engine:OnnxRuntimeEngine", "neurocity[onnxruntime]", "onnx"
    ),
    "torch": EngineEntry(
        "serving.engines.torchscript_engine:TorchScriptEngine", "neurocity[cpu]", "torchscript"
    ),
    "triton": EngineEntry("serving.engines.triton_engine:TritonEngine", "neurocity[triton]", is_source=True),
}


def engine_class(name: str) -> type[Engine]:
    """The class of the `Engine` registered under `name`, imported now.

    Raises ConfigError for an unknown name and MissingDependencyError when the engine's library is absent.
    """
    found: type[Engine] = _registered(name)
    return found


async def open_source(name: str, options: EngineOptions) -> Source:
    """The `Source` that is registered under `name`. Raises as `engine_class`, and what it raises itself."""
    source: Source = await _registered(name).start(options)
    return source


def asked_for(engine: str) -> Served:
    """What is said of every scene of an engine that was asked for by its name."""
    return Served(engine, f"--engine {engine}")


def seconds_left(deadline: float | None) -> float | None:
    """Seconds until an instant of `time.monotonic()`; raises DeadlineExceededError when there are none."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise DeadlineExceededError("the deadline of the render has passed")
    return left


def _registered(name: str) -> Any:
    if name not in ENGINES:
        raise ConfigError(f"engine: got {name!r}, known: {', '.join(sorted([AUTO, *ENGINES]))}")
    module, _, class_name = ENGINES[name].path.partition(":")
    try:
        return getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        raise MissingDependencyError(
            f"engine {name!r} needs a package that is not installed ({error}); "
            f"install {ENGINES[name].install}"
        ) from error
