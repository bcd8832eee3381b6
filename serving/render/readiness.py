"""Whether scenes can be rendered now, by canaries that do not wait behind clients."""

import asyncio
import time

from neurocity.errors import NeuroCityError
from serving.engines.base import Engine

KEPT_SECONDS = 1.0
"""How long an answer holds, so that probes cost little however many come."""

SCENES_AT_ONCE = 4
"""Scenes that are looked at for one answer; those that were looked at longest ago, and those that failed."""


class Readiness:
    """Asks the engine, at most once in `KEPT_SECONDS`, whoever and however many want to know."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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
        scenes = self._engine.scenes()
        oldest = sorted(scenes, key=lambda scene: self._looked_at.get(scene, 0.0))
        new = sum(scene not in self._looked_at for scene in scenes)
        chosen = {*oldest[: max(new, SCENES_AT_ONCE)], *(self._failed & set(scenes))}
        try:
            await self._engine.ready(chosen)
        except NeuroCityError as error:
            self._failed = chosen
            return error
        finally:
            self._asked_at = time.monotonic()
        self._failed = set()
        self._looked_at = {
            scene: self._asked_at if scene in chosen else self._looked_at[scene] for scene in scenes
        }
        return None
