"""The scenes of a model repository, each rendered by an engine in this process; cities are among them.

By `AUTO`, engines are tried in the order of `ENGINES`. One without an artefact of the version is passed by,
and so is one that has not got the device or whose package is not installed; the reason in `Served` says
which.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from neurocity.city.manifest import CITY_FILE
from neurocity.errors import MissingDependencyError
from neurocity.model_repository import Version
from neurocity.resources import available_processors
from serving.engines.base import (
    AUTO,
    ENGINES,
    Engine,
    EngineOptions,
    Found,
    Offer,
    OpenVersion,
    Served,
    WebOffer,
    asked_for,
    engine_class,
)
from serving.engines.blocks import BlockCounts, CityEngine, start_city_engine
from serving.scenes.cities import OpenableCity
from serving.scenes.files import Files, FolderFiles
from serving.scenes.scan import Scan, Stamp

WEB = "web"
"""The format of versions that no engine opens: their files are for browsers."""

CITY_RENDERER = "native"
"""The engine whose kernels render cities."""

Kinds = Mapping[tuple[str, str], tuple[Version, Stamp]]
"""(format, precision) -> the artefact of one version of a scene."""


class RepositoryScenes:
    """The versions of a repository that can be rendered, a `Source`."""

    loads = True

    def __init__(
        self, engine: str, options: EngineOptions, files: Files | None = None, *, city_bytes: int = 2**30
    ) -> None:
        """files: of the repository, closed with the source; those of the folder `options.repository` by
        default. city_bytes: of blocks of cities.

        Raises MissingDependencyError when the package or the device of an engine is absent.
        """
        self._files = files or FolderFiles(Path(options.repository))
        self.calls_at_once = options.concurrent_calls
        processors = available_processors()
        threads = (options.threads or processors) * options.concurrent_calls
        self.fills_processors = options.device == "cpu" and threads >= processors
        self._options = options
        self._asked_for = engine
        self._names = (
            [name for name, entry in ENGINES.items() if entry.automatic] if engine == AUTO else [engine]
        )
        self._engines: dict[str, Engine] = {}
        self._city_bytes = city_bytes
        self._cities: CityEngine | None = None
        self._absent: dict[str, str] = {}
        self._scan = Scan()
        # One thread: the C library keeps what each thread has freed for that thread.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        if engine != AUTO:
            self._engine(engine)

    async def look(self) -> Found:
        """See `Source.look`. Raises as `Files.scan`."""
        self._scan = await self._files.scan(self._scan)
        return await asyncio.to_thread(self._found)

    def _found(self) -> Found:
        refused = {self._place(path): problem for path, problem in self._scan.others.items()}
        scenes: dict[str, dict[int, dict[tuple[str, str], tuple[Version, Stamp]]]] = {}
        web: dict[str, dict[int, WebOffer]] = {}
        for path, folder in self._scan.folders.items():
            if folder.problem:
                refused[self._place(path)] = folder.problem
            if folder.version is None:
                continue
            manifest = folder.version.manifest
            if manifest.format == WEB:
                web.setdefault(manifest.scene, {})[manifest.version] = WebOffer(
                    version=folder.version,
                    identity=folder.stamp,
                    at_hand=partial(self._files.at_hand, folder.version),
                )
                continue
            kinds = scenes.setdefault(manifest.scene, {}).setdefault(manifest.version, {})
            kinds[manifest.format, manifest.precision] = folder.version, folder.stamp
        offers: dict[str, dict[int, Offer]] = {}
        for scene, versions in scenes.items():
            for number, kinds in versions.items():
                try:
                    offer = self._offer(kinds)
                except MissingDependencyError as error:
                    refused[self._place(_first(kinds))] = str(error)
                    continue
                if offer is not None:
                    offers.setdefault(scene, {})[number] = offer
            newest = versions[max(versions)]
            if scene not in offers:
                refused.setdefault(self._place(_first(newest)), self._no_engine(scene, newest))
        self._find_cities(offers, refused)
        return Found(offers=offers, refused=refused, web=web)

    def _find_cities(self, offers: dict[str, dict[int, Offer]], refused: dict[str, str]) -> None:
        """Add them to what there is."""
        for path, folder in self._scan.cities.items():
            place = self._place(path / CITY_FILE)
            if folder.problem:
                refused[place] = folder.problem
            if folder.openable is None:
                continue
            manifest = folder.openable.manifest
            if manifest.scene in offers:
                refused[place] = f"there is another scene {manifest.scene!r}; name the city in its file anew"
                continue
            try:
                offers[manifest.scene] = {manifest.version: self._city_offer(folder.openable, place)}
            except MissingDependencyError as error:
                refused[place] = str(error)

    async def close(self) -> None:
        """See `Source.close`."""
        await asyncio.to_thread(self._loader.shutdown, cancel_futures=True)
        for engine in self._engines.values():
            await asyncio.to_thread(engine.close)
        if self._cities is not None:
            await asyncio.to_thread(self._cities.close)
        await self._files.close()

    def block_counts(self) -> BlockCounts:
        """Of all cities together."""
        return self._cities.counts() if self._cities else BlockCounts(limit_bytes=self._city_bytes)

    def _absence(self, name: str) -> str:
        """Why `AUTO` passes an engine by; empty when it does not."""
        if name not in self._absent:
            try:
                devices = engine_class(name).devices
            except MissingDependencyError as error:
                self._absent[name] = str(error)
            else:
                usable = self._options.device in devices
                self._absent[name] = "" if usable else f"it computes on {' or '.join(devices)}"
        return self._absent[name]

    def _engine(self, name: str) -> Engine:
        """The engine of that name, started once. Raises MissingDependencyError."""
        if name not in self._engines:
            self._engines[name] = engine_class(name)(self._options)
        return self._engines[name]

    def _offer(self, kinds: Kinds) -> Offer | None:
        """The version by the first engine that can render it; None where none can.

        Raises MissingDependencyError when that engine cannot be started.
        """
        passed: list[str] = []
        for name in self._names:
            kind = self._format(name), self._options.precision
            if kind not in kinds:
                passed.append(f"not {name}: there is no {' '.join(kind)}")
                continue
            if self._asked_for == AUTO and (absence := self._absence(name)):
                passed.append(f"not {name}: {absence}")
                continue
            self._engine(name)  # one that is there and cannot be started is no reason to be slow
            version, stamp = kinds[kind]
            served = asked_for(name)
            if self._asked_for == AUTO:
                served = Served(name, "; ".join([f"{' '.join(kind)} is there", *passed]))
            return Offer(
                manifest=version.manifest,
                served=served,
                place=self._place(version.path),
                identity=(name, stamp),
                open=partial(self._open, name, version),
                at_hand=partial(self._files.at_hand, version),
                files=version,
            )
        return None

    def _city_offer(self, found: OpenableCity, place: str) -> Offer:
        """Raises MissingDependencyError when cities cannot be rendered."""
        if CITY_RENDERER not in self._names:
            raise MissingDependencyError(
                f"scene {found.manifest.scene!r} is a city, which --engine {self._asked_for} does not "
                f"render; --engine {AUTO} and {CITY_RENDERER} do"
            )
        if self._cities is None:
            self._cities = start_city_engine(self._options, self._city_bytes)
        engine = self._cities

        async def opened() -> OpenVersion:
            arguments = found.folder, found.city, found.manifest
            return await asyncio.get_running_loop().run_in_executor(self._loader, engine.open, *arguments)

        served = asked_for(CITY_RENDERER)
        if self._asked_for == AUTO:
            served = Served(CITY_RENDERER, f"a city of {len(found.city.blocks)} blocks")
        return Offer(
            manifest=found.manifest,
            served=served,
            place=place,
            identity=(CITY_FILE, str(found.folder), found.manifest.artefact.sha256, found.coarse_stamp()),
            open=opened,
            content=found.content,
        )

    async def _open(self, name: str, version: Version) -> OpenVersion:
        def verified() -> OpenVersion:
            version.verify(version.manifest.artefact)
            return self._engines[name].open(version)

        return await asyncio.get_running_loop().run_in_executor(self._loader, verified)

    def _format(self, name: str) -> str:
        """The format that an engine opens; by `AUTO`, without importing it."""
        return ENGINES[name].automatic or self._engines[name].formats[0]

    def _no_engine(self, scene: str, kinds: Kinds) -> str:
        """Why no engine can render a version of a scene."""
        options = self._options
        found = ", ".join(" ".join(kind) for kind in sorted(kinds))
        wanted = " or ".join(map(self._format, self._names))
        reasons = "; ".join(f"not {name}: {reason}" for name, reason in self._absent.items() if reason)
        return (
            f"scene {scene!r} has {found}, --engine {self._asked_for} opens {wanted} in {options.precision}: "
            f"export it with `neurocity-export CHECKPOINT --out {self._files.name} --name {scene} "
            f"--formats {self._format(self._names[0])} --precision {options.precision}`, or choose another "
            "--engine or --precision" + (f" ({reasons})" if reasons else "")
        )

    def _place(self, path: Path) -> str:
        return str(path.relative_to(self._files.root))


def _first(kinds: Kinds) -> Path:
    """The folder that stands for a version of several formats."""
    return min(version.path for version, _ in kinds.values())
