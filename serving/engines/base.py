"""What every engine promises the gateway, and the registry of engines.

An engine renders rays of named scenes. It knows nothing of cameras, images or HTTP; the gateway knows nothing
of what runs an artefact. A new engine is a module with an `Engine` class and one line in `ENGINES`: settings,
command line and tests follow from that line.

One conformance suite (`tests/test_every_engine.py`) runs on all engines.
"""

import importlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from neurocity.cameras import Rays
from neurocity.contract import SceneManifest
from neurocity.errors import ConfigError, DeadlineExceededError, MissingDependencyError, SceneNotFoundError
from neurocity.light import Light


class EngineOptions(BaseModel):
    """What an engine may be told; each engine reads what concerns it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    repository: Path = Path("model_repository")
    """Model repository folder that in-process engines open: <scene>_<format>/<version>/."""

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


class Engine(Protocol):
    """Renders rays of the scenes it has opened. All methods are called from one event loop.

    name: of the engine in `ENGINES`.
    formats: export formats that it renders, the preferred first. An engine in this process opens that alone.
    calls_at_once: calls of `render` that are worth having under way at the same time.
    """

    name: str
    formats: tuple[str, ...]
    calls_at_once: int

    @classmethod
    async def open(cls, options: EngineOptions) -> "Engine":
        """The engine with every scene loaded.

        Raises ManifestError (manifest or artefact is not what it says), EngineError (an artefact cannot be
        opened, or no scene is there), EngineUnavailableError (server not reachable), MissingDependencyError
        (package or device absent).
        """

    def scenes(self) -> Mapping[str, SceneManifest]:
        """Scene name -> manifest of the version that `render` uses."""

    def served_by(self, scene: str) -> Served:
        """What renders that scene of `scenes`."""

    async def render(self, scene: str, rays: Rays, deadline: float | None) -> Light:
        """Light of R >= 1 rays, without blocking the event loop.

        An engine may cut R into calls of at most the manifest's `rays_per_call`, so that memory stays bounded
        and the renders of several clients take turns.

        rays: with radii exactly where the manifest says that the scene takes them.
        deadline: instant on the clock of `time.monotonic()` after which nobody wants the result, or None.

        Cancelling the awaiting task drops the calls that are left, and stops the one in progress where the
        engine can.

        Raises SceneNotFoundError, DeadlineExceededError, EngineUnavailableError (worth trying again later),
        and EngineError when the rays are not what the scene takes, and when the call fails or does not give
        finite outputs of the right shapes.
        """

    async def ready(self, scenes: Collection[str] | None = None) -> None:
        """Return when each of these scenes, by default all, has rendered a ray just now.

        Raises EngineUnavailableError otherwise.
        """

    async def close(self) -> None:
        """Release threads, sessions and connections. The engine cannot be used afterwards."""


class EngineEntry(NamedTuple):
    """An engine's class as `module:class`, and what installs its library.

    automatic: the format whose scenes the engine `auto` gives it, unless an engine before it has them.
    """

    path: str
    install: str
    automatic: str = ""


ENGINES: dict[str, EngineEntry] = {
    "auto": EngineEntry("serving.engines.auto_engine:AutoEngine", "neurocity"),
    "native": EngineEntry("serving.engines.native_engine:NativeEngine", "neurocity", "native"),
    "onnxruntime": EngineEntry(
        "serving.engines.onnxruntime_engine:OnnxRuntimeEngine", "neurocity[onnxruntime]", "onnx"
    ),
    "torch": EngineEntry(
        "serving.engines.torchscript_engine:TorchScriptEngine", "neurocity[cpu]", "torchscript"
    ),
    "triton": EngineEntry("serving.engines.triton_engine:TritonEngine", "neurocity[triton]"),
}


def engine_class(name: str) -> type[Engine]:
    """The class registered under `name`, imported now.

    Raises ConfigError for an unknown name and MissingDependencyError when the engine's library is absent.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: got {name!r}, known: {', '.join(sorted(ENGINES))}")
    module, _, class_name = ENGINES[name].path.partition(":")
    try:
        found: type[Engine] = getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        raise MissingDependencyError(
            f"engine {name!r} needs a package that is not installed ({error}); "
            f"install {ENGINES[name].install}"
        ) from error
    return found


async def open_engine(name: str, options: EngineOptions) -> Engine:
    """Open the engine registered under `name`. Raises as `engine_class` and `Engine.open` do."""
    return await engine_class(name).open(options)


def asked_for(engine: str) -> Served:
    """What is said of every scene of an engine that was asked for by its name."""
    return Served(engine, f"--engine {engine}")


def find_scene(scenes: Mapping[str, SceneManifest], scene: str) -> SceneManifest:
    """The manifest of `scene`; raises SceneNotFoundError that lists the known ones."""
    try:
        return scenes[scene]
    except KeyError:
        known = ", ".join(sorted(scenes)) or "none"
        raise SceneNotFoundError(f"got scene {scene!r}, known: {known}") from None


def seconds_left(deadline: float | None) -> float | None:
    """Seconds until an instant of `time.monotonic()`; raises DeadlineExceededError when there are none."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise DeadlineExceededError("the deadline of the render has passed")
    return left
