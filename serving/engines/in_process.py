"""What engines share that run artefacts in this process: they open a model repository and call on threads."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

from neurocity.cameras import Rays
from neurocity.contract import SceneManifest
from neurocity.errors import DeadlineExceededError, EngineError, MissingDependencyError, NeuroCityError
from neurocity.light import Float32, Light
from neurocity.model_repository import Version, newest_versions
from serving.engines.base import EngineOptions, Served, asked_for, find_scene, seconds_left
from serving.engines.rays import Inputs, check_light, graph_inputs, render_canaries, render_in_calls

Call = Callable[[], Iterable[Float32]]
"""Computes rgb [R, 3], depth [R] and opacity [R], blocking; may raise anything."""


class InProcessEngine(ABC):
    """An `Engine` over one opened artefact a scene, of the format `formats[0]`.

    A subclass says how its library opens an artefact (`load`) and calls it (`prepare`).

    library: what error messages call it. whole_pictures: whether a call takes all rays of a render, and not
    at most the manifest's `rays_per_call`. devices: where it can compute.
    """

    name: str
    formats: tuple[str, ...]
    library: ClassVar[str]
    whole_pictures: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def __init__(self, versions: Mapping[str, Version], options: EngineOptions) -> None:
        self._manifests = {scene: version.manifest for scene, version in versions.items()}
        self._programs = {scene: self._open(version, options) for scene, version in versions.items()}
        self.calls_at_once = options.concurrent_calls
        self._threads = ThreadPoolExecutor(options.concurrent_calls, thread_name_prefix=self.name)

    @abstractmethod
    def load(self, version: Version, options: EngineOptions) -> Any:
        """The artefact as the program that `prepare` gets. May raise anything."""

    @abstractmethod
    def prepare(self, program: Any, inputs: Inputs, width: int) -> tuple[Call, Callable[[], None] | None]:
        """One call of a program, and what makes it end soon when nobody waits for it any more, or None.

        width: as of `Rays`, where the call has all rays of a render, else 0.
        """

    @classmethod
    async def open(cls, options: EngineOptions) -> Self:
        """See `Engine.open`; reads the artefacts of `options.repository` and `options.precision`."""
        versions = await asyncio.to_thread(
            find_versions, options.repository, cls.formats[0], options.precision
        )
        return await asyncio.to_thread(cls.open_versions, versions, options)

    @classmethod
    def open_versions(cls, versions: Mapping[str, Version], options: EngineOptions) -> Self:
        """The engine with these scenes; blocks. Raises as `Engine.open`."""
        if options.device not in cls.devices:
            raise MissingDependencyError(
                f"device {options.device!r}: the engine {cls.name} computes on {' or '.join(cls.devices)}; "
                "choose another --device or --engine"
            )
        return cls(versions, options)

    def scenes(self) -> Mapping[str, SceneManifest]:
        """See `Engine.scenes`."""
        return self._manifests

    def served_by(self, scene: str) -> Served:  # noqa: ARG002, all are
        """See `Engine.served_by`."""
        return asked_for(self.name)

    async def render(self, scene: str, rays: Rays, deadline: float | None) -> Light:
        """See `Engine.render`."""
        manifest = find_scene(self._manifests, scene)
        whole = self.whole_pictures or len(rays) <= manifest.rays_per_call
        width = rays.width if whole else 0

        async def render_tile(inputs: Inputs) -> Light:
            call, abandon = self.prepare(self._programs[scene], inputs, width)
            return await self._on_thread(lambda: self._checked(scene, inputs, call), deadline, abandon)

        inputs = graph_inputs(manifest, rays)
        return await render_in_calls(render_tile, inputs, len(rays) if whole else manifest.rays_per_call)

    async def ready(self, scenes: Collection[str] | None = None) -> None:
        """See `Engine.ready`."""
        await render_canaries(self, scenes)

    async def close(self) -> None:
        """See `Engine.close`."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._programs.clear()

    def _open(self, version: Version, options: EngineOptions) -> Any:
        try:
            return self.load(version, options)
        except NeuroCityError:
            raise
        except Exception as error:  # a broken archive raises anything
            raise EngineError(f"{version.artefact}: {self.library} cannot open it: {error}") from error

    async def _on_thread(
        self, call: Callable[[], Light], deadline: float | None, abandon: Callable[[], None] | None
    ) -> Light:
        """The result of `call` from a thread, so that the event loop never blocks.

        When the deadline passes or the awaiting task is cancelled, a waiting call is dropped; a running one
        is abandoned. Raises DeadlineExceededError, or what `call` raises.
        """
        left = seconds_left(deadline)
        future = self._threads.submit(call)
        result = asyncio.wrap_future(future)
        result.add_done_callback(_look_at)
        try:
            # No `asyncio.timeout`: it holds its task, and so an ended render's arrays.
            done, _ = await asyncio.wait({result}, timeout=left)
        finally:
            if not future.done() and not future.cancel() and abandon is not None:
                abandon()
        if not done:
            raise DeadlineExceededError("the render did not end before its deadline")
        return result.result()

    def _checked(self, scene: str, inputs: Inputs, call: Call) -> Light:
        try:
            light = Light(*call())
        except Exception as error:  # an artefact may raise anything
            raise EngineError(f"scene {scene!r}: {self.library} failed: {error}") from error
        return check_light(scene, len(next(iter(inputs.values()))), light)


def _look_at(result: "asyncio.Future[Light]") -> None:
    """Ask for a failure, so that asyncio does not report one of a call that was abandoned."""
    if not result.cancelled():
        result.exception()


def find_versions(repository: Path, format_name: str, precision: str) -> dict[str, Version]:
    """Scene name -> its newest version of that format and precision, artefact verified.

    Raises EngineError when the folder or any scene in it lacks such an artefact, and ManifestError when a
    manifest is missing, malformed, or not true of its place or its artefact.
    """
    newest = scenes_of(repository)
    wanted = (format_name, precision)
    for scene, versions in newest.items():
        if wanted not in versions:
            raise EngineError(no_artefact(scene, versions, repository, format_name, precision))
    chosen = {scene: versions[wanted] for scene, versions in sorted(newest.items())}
    for version in chosen.values():
        version.verify(version.manifest.artefact)
    return chosen


def scenes_of(repository: Path) -> dict[str, dict[tuple[str, str], Version]]:
    """As `newest_versions`; raises EngineError when there is no scene."""
    newest = newest_versions(repository)
    if not newest:
        raise EngineError(
            f"model repository {repository} holds no scene; export one with "
            f"`neurocity-export CHECKPOINT --out {repository} --name NAME`"
        )
    return newest


def no_artefact(
    scene: str, versions: Collection[tuple[str, str]], repository: Path, format_name: str, precision: str
) -> str:
    """What is said of a scene that has these formats and precisions, and not the one that is to be opened."""
    found = ", ".join(" ".join(kind) for kind in sorted(versions))
    return (
        f"scene {scene!r} has {found} in {repository}, this engine opens {format_name} {precision}: "
        f"export it with `neurocity-export CHECKPOINT --out {repository} --name {scene} "
        f"--formats {format_name} --precision {precision}`, or choose another --engine or --precision"
    )
