"""The scenes that are served: the newest version of each, swapped while it is rendered, and those on demand.

    source -> offers -> loaded beside the old one, proved -> swapped in one step -> the old one freed

Each scene goes this way by itself, so that one whose files are slow to come keeps no other away.

Everything that renders takes a lease on one version, so no picture mixes two.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from neurocity.cameras import Rays
from neurocity.contract import SceneManifest
from neurocity.errors import (
    EngineError,
    EngineUnavailableError,
    NeuroCityError,
    SceneNotFoundError,
)
from neurocity.light import Light
from serving.engines.base import Found, Offer, Source
from serving.engines.blocks import BlockCounts
from serving.scenes.loaded import Loaded, VersionRefusedError
from serving.scenes.version import SceneVersion
from serving.scenes.web_folders import WebFolders

log = logging.getLogger("neurocity.serving")

PROOFS_AT_ONCE = 4
"""Versions that are fetched and proved at the same time."""

PROOF_SECONDS = 600.0
"""After so long others have their turn, and the next look tries it again; its load goes on meanwhile."""


@dataclass(frozen=True)
class _Refused:
    """Files that were tried and are broken."""

    place: str
    reason: str


@dataclass(eq=False)
class _Proof:
    """A version that is proved beside the one in use.

    look: the number of the look that found it. usable: whether it may take the other's place.
    """

    version: SceneVersion
    look: int
    task: asyncio.Task[None]
    usable: bool = False


class Scenes:
    """Scenes of a source, see the module's text. Used from one event loop.

    calls_at_once: renders that are worth having under way at the same time.
    fills_processors: whether such renders take all processors that this process may use.
    """

    def __init__(
        self,
        source: Source,
        *,
        loaded_bytes: int = 2**30,
        poll_seconds: float = 0.0,
        block_counts: Callable[[], BlockCounts] = BlockCounts,
    ) -> None:
        """loaded_bytes: of what is loaded. poll_seconds: between two looks at the source; 0 for none.
        block_counts: of the source's cities.
        """
        self.calls_at_once = source.calls_at_once
        self.fills_processors = source.fills_processors
        self.loaded = Loaded(loaded_bytes, source.loads, self._refuse)
        self.block_counts = block_counts
        self.web = WebFolders()
        """The folders of scenes that browsers draw."""
        self._source = source
        self._poll_seconds = poll_seconds
        self._current: dict[str, SceneVersion] = {}
        self._known: dict[str, dict[int, SceneVersion]] = {}
        self._broken: dict[Hashable, _Refused] = {}
        self._late: dict[Hashable, str] = {}
        self._refused: dict[str, str] = {}
        self._told: Mapping[str, str] = {}
        self._offers: Mapping[str, Mapping[int, Offer]] = {}
        self._looks = 0
        self._proofs: dict[str, _Proof] = {}
        self._slots = asyncio.Semaphore(PROOFS_AT_ONCE)
        self._trouble = ""
        self._look: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Find the scenes, and look again from time to time; later calls do nothing.

        Raises as `Source.look`.
        """
        if self._watch is None:
            await self._take(await self._source.look())
            self._watch = asyncio.get_running_loop().create_task(self._keep_looking())

    def scenes(self) -> Mapping[str, SceneManifest]:
        """Scene name -> manifest of the newest version, by name."""
        return {scene: version.manifest for scene, version in sorted(self._current.items())}

    def current(self) -> Mapping[str, SceneVersion]:
        """Scene name -> its newest version."""
        return self._current

    def versions(self, scene: str) -> list[SceneVersion]:
        """All versions of a scene that can be asked for, by number; none of an unknown scene."""
        return [version for _, version in sorted(self._known.get(scene, {}).items())]

    def refused(self) -> Mapping[str, str]:
        """Place -> why what stands there is not served, by place."""
        broken = {item.place: item.reason for item in self._broken.values()}
        return dict(sorted((self._refused | broken).items()))

    def find(self, scene: str, version: int | None = None) -> SceneVersion:
        """The newest version of a scene, or that version; raises SceneNotFoundError that lists the known."""
        if scene not in self._current:
            known = ", ".join(sorted(self._current)) or "none"
            raise SceneNotFoundError(f"got scene {scene!r}, known: {known}")
        if version is None:
            return self._current[scene]
        versions = self._known[scene]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise SceneNotFoundError(f"got version {version} of scene {scene!r}, known: {known}")
        return versions[version]

    async def render(self, scene: str, rays: Rays, deadline: float | None) -> Light:
        """Light of R >= 1 rays by the newest version; raises as `find`, `lease` and `OpenVersion.render`."""
        async with self.find(scene).lease() as opened:
            return await opened.render(rays, deadline)

    async def replaced(self, version: SceneVersion) -> bool:
        """Whether another version is the newest of its scene by now; the source is asked where it is not."""
        scene = version.manifest.scene
        if self._current.get(scene) is version:
            await self._begin_look()
            look = self._looks
            while self._current.get(scene) is version and (proof := self._proof(scene, look)):
                await asyncio.wait({proof.task})
        return self._current.get(scene) not in (version, None)

    def to_probe(self) -> Mapping[str, SceneVersion]:
        """Scene name -> its version, of those that must render for the gateway to be ready: what is loaded.

        All of them where the source loads them itself.
        """
        return {
            scene: version
            for scene, version in self._current.items()
            if version.loaded or not self.loaded.loads
        }

    async def look(self) -> None:
        """Look at the source now, and take what it has. Raises nothing."""
        await self._begin_look()
        look = self._looks
        while proofs := [proof.task for scene in [*self._proofs] if (proof := self._proof(scene, look))]:
            await asyncio.wait(proofs)

    async def _begin_look(self) -> None:
        """Look at the source now, and begin the proofs of what is new.

        All who ask during a look wait for the next one: the one under way may have passed what has changed.
        """
        under_way = self._look
        if under_way is not None and not under_way.done():
            await asyncio.wait({under_way})
        if self._look is None or self._look is under_way:
            self._look = asyncio.get_running_loop().create_task(self._look_once())
        await asyncio.shield(self._look)

    def look_soon(self) -> None:
        """Have the source looked at, and try again what was refused."""
        self._broken.clear()
        self._wake.set()

    async def close(self) -> None:
        """End all; nothing can be rendered afterwards."""
        for task in (self._watch, self._look):
            await _ended(task)
        proofs = [*self._proofs.values()]  # nobody begins one any more
        self._proofs.clear()
        for proof in proofs:
            await _ended(proof.task)
        for version in list(self.loaded):
            self.loaded.unload(version)
        await self._source.close()

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds or None):
                    await self._wake.wait()
            self._wake.clear()
            await self._begin_look()

    async def _look_once(self) -> None:
        """What is there is taken; what cannot be looked at leaves everything as it is."""
        try:
            await self._take(await self._source.look())
        except NeuroCityError as error:
            if str(error) != self._trouble:
                log.warning("scenes: nothing changes, since they cannot be looked at: %s", error)
            self._trouble = str(error)
        except Exception:
            log.exception("scenes: nothing changes, since they cannot be looked at")
        else:
            if self._trouble:
                log.info("scenes: they can be looked at again")
            self._trouble = ""

    async def _take(self, found: Found) -> None:
        identities = {offer.identity for offers in found.offers.values() for offer in offers.values()}
        self._broken = {key: value for key, value in self._broken.items() if key in identities}
        self._late = {key: value for key, value in self._late.items() if key in identities}
        self._refused = dict(found.refused) | await self.web.take(found.web)
        self._offers = found.offers
        self._looks += 1
        for scene in sorted({*found.offers, *self._current}):
            self._take_scene(scene, proves=True)
        self._tell_refused()

    def _tell_refused(self) -> None:
        """Log what is refused and was not before."""
        refused = self.refused()
        for place, reason in refused.items():
            if self._told.get(place) != reason:
                log.warning("refused %s: %s", place, reason)
        self._told = refused

    def _take_scene(self, scene: str, *, proves: bool) -> None:
        """See `_choose`."""
        try:
            self._choose(scene, proves=proves)
        except Exception:  # which nobody foresaw, and which keeps no other scene away
            log.exception("scene %s: stays as it is", scene)

    def _choose(self, scene: str, *, proves: bool) -> None:
        """Swap in the newest version that can be had now; all versions that are offered can be asked for.

        proves: whether the proof of a newer one begins.
        """
        current, known = self._current.get(scene), self._known.get(scene, {})
        versions = {
            number: self._version(offer, known.get(number))
            for number, offer in self._offers.get(scene, {}).items()
            if offer.identity not in self._broken
        }
        newest_first = [versions[number] for number in sorted(versions, reverse=True)]
        chosen = newer = None
        if not newest_first:
            chosen = current if current is not None and self._is_kept(current) else None
        elif current is None or current.refused:
            # There is nothing to stay at: what is being proved, or was late, comes last.
            chosen = min(newest_first, key=self._is_awaited)
            newer = newest_first[0] if newest_first[0] is not chosen else None
        else:
            chosen = newest_first[0]
            if chosen is not current and not self._is_proved(chosen):
                chosen, newer = current, chosen
        self._swap(scene, current, chosen, versions)
        self._go_on_proving(scene, newer, proves=proves)

    def _go_on_proving(self, scene: str, newer: SceneVersion | None, *, proves: bool) -> None:
        """Prove this version of a scene, or none, and no other."""
        proof = self._proofs.get(scene)
        if proof is not None and proof.version is not newer:
            del self._proofs[scene]
            if not proof.usable:  # else it is this proof that is about to end
                proof.task.cancel()
        if newer is not None and proves and scene not in self._proofs:
            task = asyncio.get_running_loop().create_task(self._prove(scene, newer))
            self._proofs[scene] = _Proof(newer, self._looks, task)

    def _proof(self, scene: str, look: int) -> _Proof | None:
        """The proof of a version that was found by that look or before."""
        proof = self._proofs.get(scene)
        return proof if proof is not None and proof.look <= look else None

    def _is_proved(self, version: SceneVersion) -> bool:
        proof = self._proofs.get(version.manifest.scene)
        return proof is not None and proof.version is version and proof.usable

    def _is_awaited(self, version: SceneVersion) -> bool:
        proof = self._proofs.get(version.manifest.scene)
        return version.offer.identity in self._late or (proof is not None and proof.version is version)

    async def _prove(self, scene: str, version: SceneVersion) -> None:
        """Find out whether a version can take the place of another, and have it do so."""
        usable = await self._is_usable(version)
        proof = self._proofs.get(scene)
        if proof is None or proof.version is not version:
            return
        if usable:
            proof.usable = True
            self._take_scene(scene, proves=False)
        self._proofs.pop(scene, None)
        if version.offer.identity in self._broken:
            self._take_scene(scene, proves=True)
            self._tell_refused()

    async def _is_usable(self, version: SceneVersion) -> bool:
        """Whether a version can be loaded and proved, and a ray of it rendered."""
        identity = version.offer.identity
        try:
            async with contextlib.nullcontext() if version.loaded else self._slots:
                async with asyncio.timeout(PROOF_SECONDS):
                    await version.render_canary()
        except (EngineUnavailableError, TimeoutError) as error:
            reason = str(error) or f"it was not there in {PROOF_SECONDS:g} s"
            if self._late.get(identity) != reason:  # which every look finds again
                log.warning("scene %s: not yet at version %d: %s", *_named(version), reason)
            self._late[identity] = reason
        except VersionRefusedError:
            pass
        except EngineError as error:
            self._refuse(version, str(error))
        except Exception:  # which nobody foresaw, and which keeps no other scene away
            log.exception("scene %s: stays as it is", version.manifest.scene)
        else:
            self._late.pop(identity, None)
            return True
        return False

    def _version(self, offer: Offer, known: SceneVersion | None) -> SceneVersion:
        """The version of an offer; the one that is known where the files are the same."""
        if known is not None and known.offer.identity == offer.identity and not known.refused:
            return known
        return SceneVersion(offer, self.loaded)

    def _is_kept(self, current: SceneVersion) -> bool:
        """Whether a version goes on that is not there any more: what came in its model's place is broken."""
        broken_models = {_model(place) for place in self.refused()}
        return _model(current.offer.place) in broken_models and (current.loaded or not self.loaded.loads)

    def _swap(
        self,
        scene: str,
        old: SceneVersion | None,
        new: SceneVersion | None,
        versions: dict[int, SceneVersion],
    ) -> None:
        """In one step. `versions` are all that can be asked for from now on.

        What was replaced is freed after its last lease; who asks for its number has it loaded anew.
        """
        before = self._known.pop(scene, {})
        if new is None:
            log.info("scene %s: gone", scene)
        if old is not None and old is not new and versions.get(old.manifest.version) is old:
            versions[old.manifest.version] = SceneVersion(old.offer, self.loaded)
        if new is None:
            self._current.pop(scene, None)
        else:
            self._current[scene] = new
            self._known[scene] = versions
            new.replaceable = new in versions.values()
            versions.setdefault(new.manifest.version, new)
            if new is not old:
                log.info("scene %s: version %d by engine %s (%s)", *_named(new), *new.served)
        for version in {*before.values(), *([old] if old else [])}:
            if version is not new and version not in versions.values():
                self.loaded.retire(version)

    def _refuse(self, version: SceneVersion, reason: str) -> None:
        """Let a version be tried no more, and have another one found in its place."""
        version.refused = reason
        self._broken[version.offer.identity] = _Refused(version.offer.place, reason)
        self.loaded.retire(version)
        self._wake.set()


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a task, and wait for its end."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _model(place: str) -> str:
    return place.partition("/")[0]


def _named(version: SceneVersion) -> tuple[str, int]:
    return version.manifest.scene, version.manifest.version
