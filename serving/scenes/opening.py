"""Scenes by the name of an engine, and what may be said of how they come and go."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from neurocity.object_store import ObjectStore, is_url
from neurocity.resources import available_memory
from serving.engines.base import ENGINES, EngineOptions, Source, open_source
from serving.engines.blocks import BlockCounts
from serving.scenes.cache_folder import CacheFolder
from serving.scenes.files import Files, FolderFiles
from serving.scenes.mirror import Mirror
from serving.scenes.repository import RepositoryScenes
from serving.scenes.scenes import Scenes

MEMORY_SHARE = 3
"""Scenes may take this part of the memory that the process may use, unless a number is given."""


class SceneOptions(EngineOptions):
    """What an engine may be told, and how scenes come and go."""

    poll_seconds: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    """Seconds between two looks for new versions and scenes; with 0 only SIGHUP has them looked for."""

    loaded_bytes: int = Field(default=0, ge=0)
    """Memory for scenes that are loaded; 0 for a third of what the process may use."""

    city_bytes: int = Field(default=0, ge=0)
    """Memory for blocks of cities, of all together and beside what is loaded; 0 for half of that."""

    repository_cache: Path | None = None
    """Folder for files of a repository in object storage, which belongs to one process; without it, a
    temporary one."""

    repository_cache_bytes: int = Field(default=10 * 2**30, ge=1)
    """Disk that these files may take; beyond it those that were not used for longest are removed."""


async def open_scenes(engine: str, options: SceneOptions) -> Scenes:
    """The scenes that the engine of that name, or `AUTO`, renders.

    Raises ConfigError (unknown name, no place for a cache), MissingDependencyError (package or device
    absent), ManifestError (no such repository), StorageError (object storage not reachable, or not ours),
    EngineUnavailableError (server not reachable) and EngineError (no scene at the server).
    """
    loaded_bytes = options.loaded_bytes or available_memory() // MEMORY_SHARE
    block_counts: Callable[[], BlockCounts] = BlockCounts
    source: Source
    if engine in ENGINES and ENGINES[engine].is_source:
        source = await open_source(engine, options)
    else:
        city_bytes = options.city_bytes or loaded_bytes // 2
        repository = RepositoryScenes(engine, options, open_files(options), city_bytes=city_bytes)
        source, block_counts = repository, repository.block_counts
    scenes = Scenes(
        source, loaded_bytes=loaded_bytes, poll_seconds=options.poll_seconds, block_counts=block_counts
    )
    try:
        await scenes.start()
    except BaseException:
        await scenes.close()
        raise
    return scenes


def open_files(options: SceneOptions) -> Files:
    """The files of the repository that the options name. Raises as `open_scenes`."""
    if not is_url(options.repository):
        return FolderFiles(Path(options.repository))
    store = ObjectStore(options.repository)
    return Mirror(store, CacheFolder(options.repository_cache, options.repository_cache_bytes))
