"""Each scene of a repository by the first engine that can render it: the kernels where there are any.

Engines are tried in the order of `ENGINES`. One without an artefact of the scene is passed by, and so is one
that has not got the device or whose package is not installed; the reason that `served_by` gives says which.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Self, cast

from neurocity.cameras import Rays
from neurocity.contract import SceneManifest
from neurocity.errors import EngineError, MissingDependencyError
from neurocity.light import Light
from neurocity.model_repository import Version
from serving.engines.base import ENGINES, EngineOptions, Served, engine_class, find_scene
from serving.engines.in_process import InProcessEngine, no_artefact, scenes_of
from serving.engines.rays import render_canaries

Versions = Mapping[tuple[str, str], Version]
"""(format, precision) -> the newest version of a scene."""


class AutoEngine:
    """Gives each scene to an engine of its own choice; see the module's text."""

    name = "auto"
    formats: tuple[str, ...] = tuple(entry.automatic for entry in ENGINES.values() if entry.automatic)

    def __init__(self, engines: Mapping[str, InProcessEngine], choices: Mapping[str, Served]) -> None:
        self._engines = engines
        self.calls_at_once = max(engine.calls_at_once for engine in engines.values())
        self._choices = choices
        self._manifests = {scene: engines[choices[scene].engine].scenes()[scene] for scene in choices}

    @classmethod
    async def open(cls, options: EngineOptions) -> Self:
        """See `Engine.open`; raises EngineError that says why no engine can render a scene."""
        found = await asyncio.to_thread(scenes_of, options.repository)
        choices = {scene: choose(scene, versions, options) for scene, versions in sorted(found.items())}
        chosen = {
            scene: found[scene][ENGINES[choice.engine].automatic, options.precision]
            for scene, choice in choices.items()
        }
        for version in chosen.values():
            await asyncio.to_thread(version.verify, version.manifest.artefact)
        engines: dict[str, InProcessEngine] = {}
        try:
            for name in sorted({choice.engine for choice in choices.values()}):
                versions = {scene: chosen[scene] for scene in choices if choices[scene].engine == name}
                engines[name] = await asyncio.to_thread(_engine(name).open_versions, versions, options)
        except BaseException:
            for engine in engines.values():
                await engine.close()
            raise
        return cls(engines, choices)

    def scenes(self) -> Mapping[str, SceneManifest]:
        """See `Engine.scenes`."""
        return self._manifests

    def served_by(self, scene: str) -> Served:
        """See `Engine.served_by`."""
        return self._choices[scene]

    async def render(self, scene: str, rays: Rays, deadline: float | None) -> Light:
        """See `Engine.render`."""
        find_scene(self._manifests, scene)
        return await self._engines[self._choices[scene].engine].render(scene, rays, deadline)

    async def ready(self, scenes: Collection[str] | None = None) -> None:
        """See `Engine.ready`."""
        await render_canaries(self, scenes)

    async def close(self) -> None:
        """See `Engine.close`."""
        for engine in self._engines.values():
            await engine.close()


def choose(scene: str, versions: Versions, options: EngineOptions) -> Served:
    """The first engine that can render the scene. Raises EngineError that says why none can."""
    passed = []
    for name, entry in ENGINES.items():
        if not entry.automatic:
            continue
        kind = f"{entry.automatic} {options.precision}"
        if (entry.automatic, options.precision) not in versions:
            passed.append(f"not {name}: there is no {kind}")
            continue
        try:
            devices = _engine(name).devices
        except MissingDependencyError as error:
            passed.append(f"not {name}: {error}")
            continue
        if options.device in devices:
            return Served(name, "; ".join([f"{kind} is there", *passed]))
        passed.append(f"not {name}: it computes on {' or '.join(devices)}")
    reasons = "; ".join(passed)
    raise EngineError(
        f"{no_artefact(scene, versions, options.repository, AutoEngine.formats[0], options.precision)} "
        f"({reasons})"
    )


def _engine(name: str) -> type[InProcessEngine]:
    return cast(type[InProcessEngine], engine_class(name))
