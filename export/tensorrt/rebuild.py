"""A new engine for a shipped model, where it will run: from the ONNX model that lies beside it."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from export.checks import Check
from export.format import Signature
from export.report import REPORT_FILE, markdown
from export.repository import latest_version, publish, staging, write_synced
from export.tensorrt.engine_file import ENGINE_FILE, ENGINE_TARGET, with_engine, write_engine
from export.tensorrt.library import EngineName, load_library
from export.tensorrt.rays import RayProfile
from export.triton import CONFIG_FILE, check_config, model_config
from export.triton_engines import WARM_UP_FOLDER, write_warm_up_rays
from neurocity.contract import MANIFEST_FILE, SceneManifest, manifest_from_json, to_json
from neurocity.errors import ConfigError, ExportError, ManifestError, UnsupportedError

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
    version = version_folder(folder)
    manifest = read_manifest(version)
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
        publish(staged, repository, config_file=CONFIG_FILE, force=True, config_folders=(WARM_UP_FOLDER,))
    return manifest


def version_folder(folder: Path) -> Path:
    """`folder`, or the newest version in it. Raises ManifestError when it is neither."""
    folder = folder.resolve()
    if (folder / MANIFEST_FILE).is_file():
        return folder
    if newest := latest_version(folder.parent, folder.name):
        return folder / str(newest)
    raise ManifestError(
        f"{folder}: got no {MANIFEST_FILE} and no version folder in it, expected a model that "
        f"`neurocity-export --formats {FORMAT}` wrote"
    )


def read_manifest(version: Path) -> SceneManifest:
    """The manifest of a version folder that has an engine, true of its place and of its ONNX model.

    Raises ManifestError or UnsupportedError.
    """
    file = version / MANIFEST_FILE
    try:
        manifest = manifest_from_json(file.read_text(encoding="utf-8"), str(file))
        if manifest.format != FORMAT or not manifest.engine:
            raise UnsupportedError(
                f"{version}: got an artefact of the format {manifest.format}, which has no engine; "
                f"export the checkpoint with --formats {FORMAT}"
            )
        found = hashlib.sha256((version / manifest.artefact.name).read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{version}: cannot be read ({error}); export the scene again") from None
    if (manifest.model_name, str(manifest.version)) != (version.parent.name, version.name):
        raise ManifestError(
            f"{file}: describes {manifest.model_name}/{manifest.version}, which is not where it stands"
        )
    if found != manifest.artefact.sha256:
        raise ManifestError(
            f"{version / manifest.artefact.name}: has SHA-256 {found}, its manifest says "
            f"{manifest.artefact.sha256}; export the scene again"
        )
    return manifest


def _describe(staged: Path, version: str, manifest: SceneManifest) -> None:
    """Writes what tells of the engine: manifest, report, Triton's configuration with its warm-up."""
    signature = Signature(manifest.inputs, manifest.outputs)
    text = model_config(manifest, ENGINE_TARGET, signature)
    _require(check_config(text, manifest, signature))
    for path, content in (
        (staged / version / MANIFEST_FILE, to_json(manifest)),
        (staged / version / REPORT_FILE, markdown(manifest)),
        (staged / CONFIG_FILE, text),
    ):
        path.unlink(missing_ok=True)
        write_synced(path, content.encode())
    write_warm_up_rays(staged, manifest)


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
