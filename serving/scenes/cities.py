"""Cities in a repository: folders with `city.json`, each a scene whose models are no scenes of their own.

A city has one version at a time, what its file says now. The number of it grows by one with each model that
is replaced by the next of its versions, so that gateways that see the same file call it the same.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from neurocity.cameras import Camera
from neurocity.city.artefacts import file_stamp, find_model
from neurocity.city.digest import ViewDigests
from neurocity.city.manifest import CITY_FILE, City, city_from_file, read_city_file
from neurocity.contract import ArtefactFile, SceneManifest
from neurocity.errors import ManifestError, UnreadableError
from neurocity.model_repository import require_size
from neurocity.world import camera_to_scene

CITY_FORMAT = "city"
"""Of the manifest that stands for a city."""

Stamp = tuple[object, ...]
UNKNOWN: Stamp = ()
"""Of what could not be read: it is read again at the next look."""


@dataclass(frozen=True)
class OpenableCity:
    """A city that can be served. folder: of its file. manifest: as of any scene, see `CITY_FORMAT`."""

    folder: Path
    city: City
    manifest: SceneManifest
    digests: ViewDigests

    def content(self, camera: Camera) -> str:
        """See `Offer.content`."""
        return self.digests.of(camera_to_scene(camera, self.city.origin))

    def coarse_stamp(self) -> object:
        """What changes when the coarse model's file does: one that was broken is tried again."""
        assert self.city.coarse.model is not None, "it was found"
        return file_stamp(self.folder, self.city.coarse.model)


@dataclass(frozen=True)
class CityFolder:
    """A city's folder at one moment.

    stamp: what changes when its file does. openable: what can be served, which may be what the file said
    before it was broken. problem: what is wrong with the file, empty where nothing is.
    """

    stamp: Stamp
    openable: OpenableCity | None = None
    problem: str = ""


def is_city(folder: Path) -> bool:
    """Whether a folder is a city's; one that must not be looked into, such as lost+found, is none."""
    return os.path.isfile(folder / CITY_FILE)  # noqa: PTH113 -- the method of `Path` raises PermissionError


def look_at_city(folder: Path, before: CityFolder | None) -> CityFolder:
    """A city's folder now; `before` itself where its file has not changed."""
    file = folder / CITY_FILE
    known = before.openable if before else None
    try:
        status = file.stat()
    except OSError as error:
        return CityFolder(UNKNOWN, known, f"cannot be read ({error.strerror})")
    stamp = (str(file.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
    if before is not None and before.stamp == stamp:
        return before
    try:
        content = read_city_file(folder)
        city = city_from_file(folder, content)
        if city.coarse.model is None:
            raise ManifestError(
                f"{folder}: the city's coarse model is not made yet; it is what lies around blocks and "
                "stands in for those that are not there"
            )
    except UnreadableError as error:
        return CityFolder(UNKNOWN, known, str(error))
    except ManifestError as error:
        return CityFolder(stamp, known, str(error))
    try:
        return CityFolder(stamp, _openable(folder, city, content))
    except ManifestError as error:  # the model may come, or be repaired, while the city's file stays
        return CityFolder(UNKNOWN, known, str(error))


def _openable(folder: Path, city: City, content: bytes) -> OpenableCity:
    """content: of the city's file. Raises ManifestError when the coarse model is not the one that it names,
    or is not there to its end.
    """
    assert city.coarse.model is not None
    version = find_model(folder, city.coarse.model)
    require_size(version)
    coarse = version.manifest
    digest = hashlib.sha256(content).hexdigest()
    manifest = replace(
        coarse,
        scene=city.name,
        version=_number(city),
        format=CITY_FORMAT,
        artefact=ArtefactFile(name=CITY_FILE, sha256=digest, bytes=len(content)),
        info=replace(coarse.info, origin=city.origin, up=city.up),
        files=(),
        golden=None,
        parity={},
        profile={},
        engine={},
        options={},
    )
    return OpenableCity(folder, city, manifest, ViewDigests(city))


def _number(city: City) -> int:
    models = [city.coarse.model]
    models += [model for block in city.blocks for model in (block.model, *block.coarser)]
    return 1 + sum(model.version - 1 for model in models if model is not None)
