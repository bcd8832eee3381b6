"""Models of a city as files: native artefacts in version folders, as in a model repository."""

from dataclasses import replace
from pathlib import Path

from neurocity.city.extent import voxel_box, voxel_side
from neurocity.city.manifest import CityModel
from neurocity.contract import (
    MANIFEST_FILE,
    MANIFEST_KEY,
    ArtefactFile,
    SceneManifest,
    file_record,
    to_json,
)
from neurocity.errors import ManifestError
from neurocity.kernels.file import file_content, open_file, scene_data
from neurocity.kernels.scene import SceneData
from neurocity.model_repository import Version, open_version
from neurocity.publishing import published

MODELS_FOLDER = "models"
"""Below the city's folder; a model repository."""


def write_model(folder: Path, manifest: SceneManifest, data: SceneData) -> CityModel:
    """Write a native artefact into the city's folder, as the scene and version that its manifest names.

    manifest: but for the file and what was measured. Raises ManifestError when it cannot be written.
    """
    name = manifest.artefact.name
    bare = replace(
        manifest, artefact=ArtefactFile(name=name, sha256="", bytes=0), parity={}, golden=None, profile={}
    )
    content = file_content(
        data, manifest.inputs, {MANIFEST_KEY: to_json(replace(bare, created="", options={}))}
    )
    artefact = file_record(name, content)
    place = Path(MODELS_FOLDER, manifest.model_name, str(manifest.version))
    try:
        (folder / place.parent).mkdir(parents=True, exist_ok=True)
        with published(folder / place, folder=True) as partial:
            (partial / name).write_bytes(content)
            (partial / MANIFEST_FILE).write_text(to_json(replace(bare, artefact=artefact)))
    except OSError as error:
        raise ManifestError(f"{folder / place}: cannot be written ({error.strerror})") from None
    return CityModel(
        folder=place.as_posix(),
        version=manifest.version,
        artefact=artefact,
        box=voxel_box(data),
        voxel_side=voxel_side(data),
    )


def find_model(folder: Path, model: CityModel) -> Version:
    """The version folder of a city's model.

    Raises ManifestError when it is not there, or its artefact is another one than the city's file says.
    """
    version = open_version(folder / model.folder)
    if version.manifest.artefact != model.artefact:
        raise ManifestError(
            f"{version.path}: has the artefact {version.manifest.artefact.sha256[:12]}, the city's file says "
            f"{model.artefact.sha256[:12]}; replace the block in the city's file, or bring its version back"
        )
    return version


def file_stamp(folder: Path, model: CityModel) -> tuple[int, int, int] | None:
    """What changes when the artefact's file does; None where it is not there."""
    try:
        status = (folder / model.folder / model.artefact.name).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def reopen_model(folder: Path, model: CityModel) -> SceneData:
    """As `open_model`, of a file that it has opened and that has not changed. Raises as `open_file`."""
    return scene_data(open_file(folder / model.folder / model.artefact.name))


def open_model(folder: Path, model: CityModel) -> SceneData:
    """What kernels render of a city's model, whose bytes are those that the city's file says.

    Raises ManifestError as `find_model` and `Version.verify`.
    """
    version = find_model(folder, model)
    return scene_data(open_file(version.verify(version.manifest.artefact)))
