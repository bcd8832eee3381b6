"""The versions that are loaded, within a bound of bytes: those that were used last."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from neurocity.errors import (
    DeadlineExceededError,
    EngineError,
    EngineUnavailableError,
    ManifestError,
    MissingDependencyError,
    ParityError,
    StorageError,
    UnreadableError,
)
from serving.engines.base import OpenVersion
from serving.engines.blocks import OpenInBlocks
from serving.scenes.memory import own_memory, return_freed_memory
from serving.scenes.proof import prove
from serving.scenes.version import SceneVersion

MAY_PASS = (
    EngineUnavailableError,
    DeadlineExceededError,
    StorageError,
    UnreadableError,
    OSError,
    MemoryError,
)
"""What says nothing of the version itself."""


class VersionRefusedError(EngineError):
    """A version of a scene is broken, and is not tried again until its files change."""


class Loaded:
    """Loads versions, one at a time, and unloads those without a lease that were not used for longest.

    limit: bytes of all that are loaded. What is leased, or could not be loaded again, stays even beyond it.
    loads: whether versions take memory of this process. refuse: is told of a version that is broken.
    bytes: what all loaded versions take.
    counts: how many loads ended as `loaded`, as `refused`, and as `failed`, which may work later.
    """

    def __init__(self, limit: int, loads: bool, refuse: Callable[[SceneVersion, str], None]) -> None:
        self.limit = limit
        self.loads = loads
        self._refuse = refuse
        self._versions: set[SceneVersion] = set()
        self._loading: dict[SceneVersion, asyncio.Task[OpenVersion]] = {}
        self._turn = asyncio.Lock()
        self._freeing: set[asyncio.Future[None]] = set()
        self._changes = 0
        self.bytes = 0
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[SceneVersion]:
        return iter(self._versions)

    def bytes_by_scene(self) -> dict[str, float]:
        """Scene name -> bytes of its versions that are loaded."""
        found: dict[str, float] = {}
        for version in self._versions:
            scene = version.manifest.scene
            found[scene] = found.get(scene, 0) + version.bytes_in_memory
        return found

    async def load(self, version: SceneVersion) -> OpenVersion:
        """See `Keeper.load`; raises VersionRefusedError when it is broken.

        A load goes on when nobody waits for it any more: a thread cannot be stopped, and the next one that
        asks is served by it.
        """
        if version.refused:
            raise VersionRefusedError(version.refused)
        task = self._loading.get(version)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(version))
            self._loading[version] = task
            task.add_done_callback(lambda task: self._ended(version, task))
        return await asyncio.shield(task)

    def released(self, version: SceneVersion) -> None:
        """See `Keeper.released`."""
        self._changes += 1
        if version.leases == 0 and version.retired:
            self.unload(version)
        elif self.bytes > self.limit:
            self._make_room(0)

    def retire(self, version: SceneVersion) -> None:
        """Have a version unloaded after its last lease."""
        version.retired = True
        if version.leases == 0:
            self.unload(version)

    def unload(self, version: SceneVersion) -> None:
        """Free a version that nobody has leased."""
        self.bytes -= version.loaded_bytes
        opened, version.opened, version.loaded_bytes = version.opened, None, 0
        self._versions.discard(version)
        if opened is not None:
            self._changes += 1
            freeing = asyncio.get_running_loop().run_in_executor(None, _free, opened)
            self._freeing.add(freeing)
            freeing.add_done_callback(self._freeing.discard)

    async def _load(self, version: SceneVersion) -> OpenVersion:
        try:
            async with version.offer.at_hand():  # before its turn: others need not wait for a network
                opened = await self._opened(version)
        except MAY_PASS as error:
            self.counts["failed"] += 1
            raise EngineUnavailableError(
                f"{version.offer.place}: {str(error) or type(error).__name__}"
            ) from error
        except (EngineError, ManifestError, MissingDependencyError, ParityError) as error:
            self.counts["refused"] += 1
            self._refuse(version, str(error))
            raise VersionRefusedError(str(error)) from error
        self.counts["loaded"] += 1
        version.opened = opened
        self.bytes += version.loaded_bytes
        self._versions.add(version)
        self._make_room(0)
        return opened

    async def _opened(self, version: SceneVersion) -> OpenVersion:
        if not self.loads:
            return await self._proved(version)
        async with self._turn:
            return await self._measured(version)

    async def _measured(self, version: SceneVersion) -> OpenVersion:
        """Load it, and find out what it takes.

        Where other scenes are rendered or freed meanwhile, their memory cannot be told from its own; then the
        bytes of its file stand for it.
        """
        size = version.manifest.artefact.bytes
        self._make_room(size)
        if self._freeing:
            await asyncio.wait(self._freeing)
        quiet, changes, before = self._is_quiet(), self._changes, own_memory()
        opened = await self._proved(version)
        added = own_memory() - before
        if isinstance(opened, OpenInBlocks):
            version.loaded_bytes = opened.bytes  # its blocks come and go later
            return opened
        if not (quiet and self._is_quiet() and self._changes == changes):
            added = 0
        version.loaded_bytes = size + max(0, added) if opened.maps_file else max(size, added)
        return opened

    def _is_quiet(self) -> bool:
        """Whether nothing is being rendered."""
        return not any(version.leases for version in self._versions)

    async def _proved(self, version: SceneVersion) -> OpenVersion:
        opened = await version.offer.open()
        if version.proved:
            return opened
        try:
            await prove(opened, version.offer.files)
        except BaseException:
            await asyncio.to_thread(_free, opened)
            raise
        version.proved = True
        return opened

    def _make_room(self, size: int) -> None:
        """Unload versions until that many bytes more are within the limit, or none is left to unload."""
        idle = [item for item in self._versions if item.leases == 0 and item.replaceable]
        for version in sorted(idle, key=lambda item: item.used_at):
            if self.bytes + size <= self.limit:
                return
            self.unload(version)

    def _ended(self, version: SceneVersion, task: asyncio.Task[OpenVersion]) -> None:
        del self._loading[version]
        if not task.cancelled():
            task.exception()  # so that asyncio does not report one that nobody waits for any more
        if version.retired and version.leases == 0:
            self.unload(version)


def _free(opened: OpenVersion) -> None:
    """Blocks for tens of milliseconds."""
    opened.close()
    return_freed_memory()
