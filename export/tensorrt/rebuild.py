"""A new engine for a shipped model, where it will run: from the ONNX model that lies beside it."""

import shutil
from pathlib import Path
from typing import Any

from export.checks import Check
from export.formats.base import Signature
from export.repository.publish import publish, staging, write_synced
from export.repository.report import REPORT_FILE, markdown
from export.repository.triton_config import CONFIG_FILE, write_model
from export.repository.version_folder import VersionFolder
from export.tensorrt.engine_file import ENGINE_FILE, ENGINE_TARGET, with_engine, write_engine
from export.tensorrt.library import EngineName, load_library
from export.tensorrt.rays import RayProfile
from neurocity.contract import MANIFEST_FILE, SceneManifest, to_json
from neurocity.errors import ConfigError, ExportError, UnsupportedError

FORMAT = "tensorrt"


def rebuild_engine(
    folder: Path,
    library_name: EngineName | None = None,
    *,
    least: int | None = None,
    usual: int | None = None,
    most: int | None = None,
) -> SceneManifest:
    """Replaces the engine of a version folder, or of a model folder's newest version; returns the manifest.

    Without a library, and for numbers of rays that are not given, those of the present engine are taken. The
    model is exchanged as a whole: readers see the old engine with its manifest, or the new one with its own.
    Raises ManifestError when the folder is not what its manifest says, UnsupportedError when its format has
    no engine, ConfigError on numbers of rays, and what `load_library` and `write_engine` raise.
    """
    found = engine_version(folder)
    version, manifest = found.path, found.manifest
    library = load_library(library_name or manifest.engine["library"])
    rays = manifest.engine["rays"]
    profile = RayProfile(
        least=rays["min"] if least is None else least,
        usual=rays["opt"] if usual is None else usual,
        most=rays["max"] if most is None else most,
    )
    if not profile.least <= manifest.rays_per_call <= profile.most:
        raise ConfigError(
            f"rays of an engine: got min {profile.least}, max {profile.most}, expected to hold the "
            f"{manifest.rays_per_call} rays of a call that the manifest recommends"
        )
    repository = version.parent.parent
    with staging(repository) as place:
        staged = place / version.parent.name
        shutil.copytree(version, staged / version.name)
        record = write_engine(staged / version.name / manifest.artefact.name, library, profile)
        manifest = with_engine(manifest, record)
        _describe(staged, version.name, manifest)
        publish(staged, repository, config_file=CONFIG_FILE, force=True)
    return manifest


def engine_version(folder: Path) -> VersionFolder:
    """The version that `folder` is, or the newest in it, with an engine and whole.

    Raises ManifestError and UnsupportedError.
    """
    version = VersionFolder(folder.resolve())
    manifest = version.manifest
    if manifest.format != FORMAT or not manifest.engine:
        raise UnsupportedError(
            f"{version.path}: got an artefact of the format {manifest.format}, which has no engine; "
            f"export the checkpoint with --formats {FORMAT}"
        )
    version.require_whole()
    return version


def _describe(staged: Path, version: str, manifest: SceneManifest) -> None:
    """Writes what tells of the engine: manifest, report, Triton's configuration with its warm-up."""
    for path, content in (
        (staged / version / MANIFEST_FILE, to_json(manifest)),
        (staged / version / REPORT_FILE, markdown(manifest)),
    ):
        path.unlink()
        write_synced(path, content.encode())
    signature = Signature(manifest.inputs, manifest.outputs)
    instances = int(manifest.options.get("instances", 1))
    _require(write_model(staged, manifest, ENGINE_TARGET, signature, instances=instances))


def _require(checks: tuple[Check, ...]) -> None:
    if failed := [str(check) for check in checks if not check.passed]:
        raise ExportError(f"{ENGINE_FILE}: " + "; ".join(failed))


def summary(manifest: SceneManifest) -> dict[str, Any]:
    """What a person wants to know of the new engine, by name."""
    engine = manifest.engine
    rays = engine["rays"]
    return {
        "built by": f"{engine['library']} {engine['library_version']}",
        "bytes": f"{engine['bytes']:,}",
        "SHA-256": engine["sha256"],
        "rays a call": f"{rays['min']:,} to {rays['max']:,}, best at {rays['opt']:,}",
        "runs on": engine["runs_on"],
        "opened here": "yes" if engine["opened"] else "no, there is no CUDA device",
    }
