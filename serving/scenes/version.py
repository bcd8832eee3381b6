"""One version of a scene: leased by who renders it, loaded at its first lease, unloaded after its last."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from neurocity.contract import SceneManifest
from serving.engines.base import Offer, OpenVersion, Served
from serving.engines.blocks import BlockState, OpenInBlocks
from serving.engines.rays import render_canary


class Keeper(Protocol):
    """Who loads and unloads versions."""

    async def load(self, version: "SceneVersion") -> OpenVersion:
        """The version, opened; it is loaded once, however many ask. Raises as `Offer.open` and `prove`."""

    def released(self, version: "SceneVersion") -> None:
        """A lease has ended."""


class SceneVersion:
    """A version of a scene, loaded or not. Used from one event loop.

    opened: None while it is not loaded. loaded_bytes: that it takes while it is. leases: that are held now.
    used_at: when the last one ended, in seconds of `time.time()`; 0 before.
    proved: whether these files were proved once.
    retired: whether nobody gets it any more, but by leases that are held.
    replaceable: whether it can be loaded again; False where its files have changed.
    refused: why it cannot be rendered; empty while that is not known.
    """

    def __init__(self, offer: Offer, keeper: Keeper) -> None:
        self.offer = offer
        self.opened: OpenVersion | None = None
        self.loaded_bytes = 0
        self.leases = 0
        self.used_at = 0.0
        self.proved = self.retired = False
        self.replaceable = True
        self.refused = ""
        self._keeper = keeper

    @property
    def manifest(self) -> SceneManifest:
        """Its manifest."""
        return self.offer.manifest

    @property
    def served(self) -> Served:
        """What renders it, and why."""
        return self.offer.served

    @property
    def loaded(self) -> bool:
        """Whether it can be rendered without being loaded first."""
        return self.opened is not None

    @property
    def blocks(self) -> BlockState | None:
        """What is in memory of its blocks; None where it has none, or is not loaded."""
        return self.opened.state() if isinstance(self.opened, OpenInBlocks) else None

    @property
    def bytes_in_memory(self) -> int:
        """What it takes now: `loaded_bytes`, and of a city its blocks."""
        blocks = self.blocks
        return blocks.bytes if blocks else self.loaded_bytes

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[OpenVersion]:
        """Inside the `async with` the version stays loaded, whatever becomes of the scene meanwhile.

        Raises what keeps it from being loaded: EngineError, its subclass VersionRefusedError when it is
        broken, or EngineUnavailableError.
        """
        self.leases += 1
        try:
            opened = self.opened or await self._keeper.load(self)
            yield opened
        finally:
            self.leases -= 1
            self.used_at = time.time()
            self._keeper.released(self)

    async def render_canary(self) -> None:
        """Render a ray: what says that it is ready is not believed.

        Raises as `lease` and `OpenVersion.render`.
        """
        async with self.lease() as opened:
            await render_canary(opened)
