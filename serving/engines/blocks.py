"""What an opened version promises beside `OpenVersion` whose blocks are loaded when pictures come to them."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from neurocity.cameras import Camera, Rays
from neurocity.city.manifest import City
from neurocity.contract import SceneManifest
from neurocity.light import Light
from serving.engines.base import EngineOptions, OpenVersion


class BlockView(Protocol):
    """One picture while it is made.

    coarse: ids of the blocks that were not there, for which something coarser stood in. settled: whether the
    picture is what equal ones will be. pending: whether it will be another one soon, since blocks are coming.
    in_one: whether it is to be rendered in one piece, since what it shows does not fit into memory at once.
    waited_seconds: that its renders waited for blocks.
    """

    @property
    def coarse(self) -> tuple[str, ...]:
        """See the class."""

    @property
    def settled(self) -> bool:
        """See the class."""

    @property
    def pending(self) -> bool:
        """See the class."""

    @property
    def in_one(self) -> bool:
        """See the class."""

    @property
    def waited_seconds(self) -> float:
        """See the class."""

    async def render(self, rays: Rays, deadline: float | None) -> Light:
        """The light of all its rays, or of a tile of them; as `OpenVersion.render`."""


@dataclass(frozen=True)
class BlockState:
    """Of a version: its blocks, those of which a model is in memory, and bytes in memory, what is always
    there included. broken: place of a model that could not be loaded lately -> why.
    """

    blocks: int
    loaded: int
    bytes: int
    broken: Mapping[str, str] = field(default_factory=dict)


class OpenInBlocks(OpenVersion, ABC):
    """A version of blocks. Cameras are in scene coordinates.

    bytes: of what is in memory as long as it is open.
    """

    bytes: int

    @abstractmethod
    def view(self, camera: Camera, until: float) -> AbstractAsyncContextManager[BlockView]:
        """Inside the `async with` a picture of the camera may be rendered; its blocks stay in memory then.

        Entering waits for blocks that are not there, up to an instant of `time.monotonic()`. What has not
        come by then has a stand-in in all of the picture.
        """

    @abstractmethod
    def expect(self, camera: Camera) -> None:
        """Such a picture may be asked for: load what it shows, unless something has to go for it that was
        used lately.
        """

    @abstractmethod
    def load_seconds(self, camera: Camera) -> float:
        """What the loads for such a picture take, about."""

    @abstractmethod
    def state(self) -> BlockState:
        """What is there now."""


@dataclass(frozen=True)
class BlockCounts:
    """Of all versions of blocks together, since the start, and what is in memory now.

    load_seconds: that loads took. resident: models in memory, of `resident_bytes`, of which `limit_bytes` may
    be. oldest_seconds: since the one that was not used for longest was.
    """

    loaded: int = 0
    failed: int = 0
    load_seconds: float = 0.0
    evicted: int = 0
    resident: int = 0
    resident_bytes: int = 0
    limit_bytes: int = 0
    oldest_seconds: float = 0.0


class CityEngine(Protocol):
    """Opens cities, and renders them in this process."""

    def open(self, folder: Path, city: City, manifest: SceneManifest) -> OpenInBlocks:
        """The city in a folder, opened; blocks.

        Raises ManifestError and ConfigError where its coarse model is not one that belongs to it.
        """

    def counts(self) -> BlockCounts:
        """Of all cities."""

    def close(self) -> None:
        """Release threads; blocks. The engine cannot be used afterwards."""


def start_city_engine(options: EngineOptions, memory_bytes: int) -> CityEngine:
    """The engine for cities, whose blocks take so many bytes.

    Raises MissingDependencyError where the kernels were not built.
    """
    module = importlib.import_module("serving.engines.city_engine")
    engine: CityEngine = module.CityEngine(options, memory_bytes)
    return engine
