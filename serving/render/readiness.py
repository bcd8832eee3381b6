"""Whether scenes can be rendered now, by canaries that do not wait behind clients.

Those that are loaded must render. Where none is, as after a start, one is loaded for it.
"""

import asyncio
import time
from collections.abc import Mapping

from neurocity.errors import EngineError, EngineUnavailableError, NeuroCityError
from serving.scenes.scenes import Scenes
from serving.scenes.version import SceneVersion

KEPT_SECONDS = 1.0
"""How long an answer holds, so that probes cost little however many come."""

SCENES_AT_ONCE = 4
"""Scenes that are looked at for one answer; those that were looked at longest ago, and those that failed."""


class Readiness:
    """Asks the engine, at most once in `KEPT_SECONDS`, whoever and however many want to know."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self._looked_at: dict[str, float] = {}
        self._failed: set[str] = set()
        self._asked_at = -KEPT_SECONDS
        self._asking: asyncio.Task[NeuroCityError | None] | None = None

    async def check(self) -> None:
        """Return when the scenes can be rendered; raises EngineUnavailableError otherwise."""
        if self._asking is None or (
            self._asking.done() and time.monotonic() - self._asked_at >= KEPT_SECONDS
        ):
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        error = await asyncio.shield(self._asking)
        if error is not None:
            raise error.with_traceback(None)

    async def _ask(self) -> NeuroCityError | None:
        try:
            probed = self._scenes.to_probe()
            if probed:
                await self._look_at(probed)
            else:
                await self._load_one()
        except NeuroCityError as error:
            return error
        finally:
            self._asked_at = time.monotonic()
        return None

    async def _look_at(self, versions: Mapping[str, SceneVersion]) -> None:
        oldest = sorted(versions, key=lambda scene: self._looked_at.get(scene, 0.0))
        new = sum(scene not in self._looked_at for scene in versions)
        chosen = {*oldest[: max(new, SCENES_AT_ONCE)], *(self._failed & set(versions))}
        self._failed = chosen
        for scene in sorted(chosen):
            await _canary(versions[scene])
        self._failed = set()
        now = time.monotonic()
        self._looked_at = {scene: now if scene in chosen else self._looked_at[scene] for scene in versions}

    async def _load_one(self) -> None:
        for version in list(self._scenes.current().values()):
            try:
                return await _canary(version)
            except EngineUnavailableError:
                if not version.refused:  # else the scenes have taken it away
                    raise
        raise EngineUnavailableError("no scene is served: nothing in the repository can be rendered")


async def _canary(version: SceneVersion) -> None:
    try:
        await version.render_canary()
    except EngineError as error:
        scene = version.manifest.scene
        raise EngineUnavailableError(f"the canary of scene {scene!r} failed: {error}") from error
