"""What every engine promises the gateway, and the registry of engines.

An engine renders rays of named scenes. It knows nothing of cameras, images or HTTP; the gateway knows nothing
of what runs an artefact. A new engine is a module with an `Engine` class and one line in `ENGINES`.

`R` is the number of rays of a call. One conformance suite (`tests/test_every_engine.py`) runs on all engines.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurocity.contract import DEPTH, OPACITY, RGB, SceneManifest
from neurocity.errors import ConfigError, EngineError, MissingDependencyError, SceneNotFoundError

Float32 = NDArray[np.float32]

ENGINES: dict[str, str] = {
    "onnxruntime": "serving.engines.onnxruntime_engine:OnnxRuntimeEngine",
    "torch": "serving.engines.torchscript_engine:TorchEngine",
    "triton": "serving.engines.triton_engine:TritonEngine",
}
"""Engine name -> `module:class`, imported when the engine is opened."""

INSTALLS = {"onnxruntime": "neurocity[serve]", "torch": "neurocity[cpu]", "triton": "neurocity[triton]"}
"""Engine name -> what brings its library."""


class RenderedRays(NamedTuple):
    """Light of R rays: rgb [R, 3] without background, depth [R] and opacity [R], float32 (see contract)."""

    rgb: Float32
    depth: Float32
    opacity: Float32


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an engine may be told; each engine reads what concerns it.

    repository: folder of a model repository, for engines that open artefacts in this process.
    precision: of the artefacts that are opened, as their manifests have it.
    triton_url: `HOST:PORT` of a Triton server's gRPC endpoint.
    device: where in-process engines compute; there is no silent fallback from `cuda` to `cpu`.
    threads: threads inside one call of an in-process engine; 0 lets the library choose.
    concurrent_calls: calls that an in-process engine runs at the same time; further ones wait.
    """

    repository: Path = Path("model_repository")
    precision: str = "fp32"
    triton_url: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 0
    concurrent_calls: int = 1


class Engine(Protocol):
    """Renders rays of the scenes it has opened. All methods are called from one event loop."""

    name: str

    @classmethod
    async def open(cls, options: EngineOptions) -> "Engine":
        """The engine with every scene loaded.

        Raises ManifestError (manifest or artefact is not what it says), EngineError (an artefact cannot be
        opened, or no scene is there), EngineUnavailableError (server not reachable), MissingDependencyError
        (package or device absent).
        """
        ...

    def scenes(self) -> Mapping[str, SceneManifest]:
        """Scene name -> manifest of the version that `render` uses."""
        ...

    async def render(
        self, scene: str, ray_origins: Float32, ray_directions: Float32, deadline: float | None
    ) -> RenderedRays:
        """Light of the rays, without blocking the event loop.

        The engine cuts R into calls of at most the manifest's `rays_per_call`, so that memory stays bounded
        and the renders of several clients take turns.

        ray_origins, ray_directions: float32 [R, 3], any R >= 1, directions of unit length.
        deadline: instant on the clock of `time.monotonic()` after which nobody wants the result, or None.

        Cancelling the awaiting task drops the calls that are left, and stops the one in progress where the
        engine can.

        Raises SceneNotFoundError, DeadlineExceededError, EngineUnavailableError (worth trying again later),
        and EngineError when the call fails or does not give finite outputs of the right shapes.
        """
        ...

    async def ready(self) -> None:
        """Return when all scenes can be rendered now; raises EngineUnavailableError otherwise."""
        ...

    async def close(self) -> None:
        """Release threads, sessions and connections. The engine cannot be used afterwards."""
        ...


async def open_engine(name: str, options: EngineOptions) -> Engine:
    """Open the engine registered under `name`.

    Raises ConfigError for an unknown name, MissingDependencyError when its library is absent, and as
    `Engine.open` does.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: got {name!r}, known: {', '.join(sorted(ENGINES))}")
    module, _, class_name = ENGINES[name].partition(":")
    try:
        engine_class: type[Engine] = getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        raise MissingDependencyError(
            f"engine {name!r} needs a package that is not installed ({error}); install {INSTALLS[name]}"
        ) from error
    return await engine_class.open(options)


def find_scene(scenes: Mapping[str, SceneManifest], scene: str) -> SceneManifest:
    """The manifest of `scene`; raises SceneNotFoundError that lists the known ones."""
    try:
        return scenes[scene]
    except KeyError:
        known = ", ".join(sorted(scenes)) or "none"
        raise SceneNotFoundError(f"got scene {scene!r}, known: {known}") from None


def check_rays(ray_origins: Float32, ray_directions: Float32) -> None:
    """Raise EngineError unless both arrays are float32 [R, 3] with the same R >= 1."""
    for name, array in (("ray_origins", ray_origins), ("ray_directions", ray_directions)):
        if array.dtype != np.float32 or array.ndim != 2 or array.shape[1] != 3 or array.shape[0] < 1:
            raise EngineError(
                f"{name}: got {array.dtype} {list(array.shape)}, expected float32 [R, 3] with R >= 1"
            )
    if ray_origins.shape != ray_directions.shape:
        raise EngineError(f"got {len(ray_origins)} ray_origins but {len(ray_directions)} ray_directions")


def check_rendered(scene: str, rays: int, rendered: RenderedRays) -> RenderedRays:
    """`rendered` itself; raises EngineError unless it is finite float32 of the contract's shapes."""
    shapes = {RGB: (rays, 3), DEPTH: (rays,), OPACITY: (rays,)}
    for (name, shape), array in zip(shapes.items(), rendered, strict=True):
        if array.dtype != np.float32 or array.shape != shape:
            raise EngineError(
                f"scene {scene!r}: got {name} as {array.dtype} {list(array.shape)}, "
                f"expected float32 {list(shape)}"
            )
        if not np.isfinite(array).all():
            broken = int(np.size(array) - np.isfinite(array).sum())
            raise EngineError(f"scene {scene!r}: {broken} values of {name} are not finite")
    return rendered
