"""What engines share that run artefacts in this process: they open versions and call them on threads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar

from neurocity.cameras import Rays
from neurocity.errors import EngineError, MissingDependencyError, NeuroCityError
from neurocity.light import Float32, Light
from neurocity.model_repository import Version
from serving.engines.base import EngineOptions, OpenVersion
from serving.engines.call_threads import CallThreads
from serving.engines.rays import Inputs, check_light, graph_inputs, render_in_calls

Call = Callable[[], Iterable[Float32]]
"""Computes rgb [R, 3], depth [R] and opacity [R], blocking; may raise anything."""


class InProcessEngine(ABC):
    """An `Engine` whose subclass says how its library opens an artefact (`load`) and calls it (`prepare`).

    All versions that it has opened share its threads.

    library: what error messages call it. whole_pictures: whether a call takes all rays of a render, and not
    at most the manifest's `rays_per_call`. maps_files: see `OpenVersion.maps_file`.
    """

    name: str
    formats: tuple[str, ...]
    devices: tuple[str, ...] = ("cpu", "cuda")
    library: ClassVar[str]
    whole_pictures: ClassVar[bool] = False
    maps_files: ClassVar[bool] = False

    def __init__(self, options: EngineOptions) -> None:
        if options.device not in self.devices:
            raise MissingDependencyError(
                f"device {options.device!r}: the engine {self.name} computes on {' or '.join(self.devices)}; "
                "choose another --device or --engine"
            )
        self.options = options
        self.threads = CallThreads(options.concurrent_calls, self.name)

    @abstractmethod
    def load(self, version: Version, options: EngineOptions) -> Any:
        """The artefact as the program that `prepare` gets. May raise anything."""

    @abstractmethod
    def prepare(self, program: Any, inputs: Inputs, width: int) -> tuple[Call, Callable[[], None] | None]:
        """One call of a program, and what makes it end soon when nobody waits for it any more, or None.

        width: as of `Rays`, where the call has all rays of a render, else 0.
        """

    def open(self, version: Version) -> OpenVersion:
        """See `Engine.open`."""
        try:
            program = self.load(version, self.options)
        except (NeuroCityError, OSError, MemoryError):  # these say nothing of the artefact
            raise
        except Exception as error:  # a broken archive raises anything
            raise EngineError(f"{version.artefact}: {self.library} cannot open it: {error}") from error
        return OpenArtefact(self, version, program)

    def close(self) -> None:
        """See `Engine.close`."""
        self.threads.close()


class OpenArtefact:
    """See `OpenVersion`."""

    def __init__(self, engine: InProcessEngine, version: Version, program: Any) -> None:
        self.manifest = version.manifest
        self.maps_file = engine.maps_files
        self.call_queue: Hashable | None = engine.threads if engine.whole_pictures else None
        self._engine = engine
        self._program = program

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """See `OpenVersion.render`."""
        manifest, engine = self.manifest, self._engine
        whole = engine.whole_pictures or len(rays) <= manifest.rays_per_call
        width = rays.width if whole else 0

        async def render_tile(inputs: Inputs) -> Light:
            call, abandon = engine.prepare(self._program, inputs, width)
            return await engine.threads.call(lambda: self._checked(inputs, call), deadline, abandon)

        inputs = graph_inputs(manifest, rays)
        return await render_in_calls(render_tile, inputs, len(rays) if whole else manifest.rays_per_call)

    def close(self) -> None:
        """See `OpenVersion.close`."""
        self._program = None

    def _checked(self, inputs: Inputs, call: Call) -> Light:
        scene = self.manifest.scene
        try:
            light = Light(*call())
        except Exception as error:  # an artefact may raise anything
            raise EngineError(f"scene {scene!r}: {self._engine.library} failed: {error}") from error
        return check_light(scene, len(next(iter(inputs.values()))), light)
