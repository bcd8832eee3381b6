"""A new engine for a shipped model, where it will run: from the ONNX model that lies beside it.

It goes past the registry to what builds engines: the format's module also reads and writes ONNX, for which a
machine that builds needs no package.
"""

import shutil
from pathlib import Path

from export.format import EngineName, Signature
from export.job.manifest import with_engine
from export.renderer import RayProfile
from export.repository.publish import publish, staging
from export.repository.report import REPORT_FILE, markdown
from export.repository.triton_config import write_model
from export.tensorrt.engine import ENGINE_TARGET, build_engine
from export.tensorrt.library import load_library
from neurocity.contract import MANIFEST_FILE, SceneManifest, to_json
from neurocity.errors import ConfigError, UnsupportedError
from neurocity.model_repository import newest_version_folder, open_version
from neurocity.object_store import require_folder

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
    no engine, ConfigError on numbers of rays, and what `load_library` and `build_engine` raise.
    """
    require_folder(folder, "build-engine")
    version = open_version(newest_version_folder(folder.resolve()))
    manifest = version.manifest
    if manifest.format != FORMAT or not manifest.engine:
        raise UnsupportedError(
            f"{version.path}: got an artefact of the format {manifest.format}, which has no engine; "
            f"export the checkpoint with --formats {FORMAT}"
        )
    version.require_whole()
    library = load_library(library_name or manifest.engine["library"])
    profile = _profile(manifest, least, usual, most)
    engine = build_engine(version.artefact.read_bytes(), library, profile)
    manifest = with_engine(manifest, engine.record)
    model = version.path.parent
    with staging(model.parent) as place:
        staged = place / model.name
        copy = staged / version.path.name
        shutil.copytree(version.path, copy)
        (copy / engine.record["file"]).write_bytes(engine.content)
        (copy / MANIFEST_FILE).write_bytes(to_json(manifest).encode())
        (copy / REPORT_FILE).write_bytes(markdown(manifest).encode())
        write_model(staged, manifest, ENGINE_TARGET, Signature(manifest.inputs, manifest.outputs))
        publish(staged, model.parent, force=True)
    return manifest


def _profile(manifest: SceneManifest, least: int | None, usual: int | None, most: int | None) -> RayProfile:
    """The numbers of rays that are given, and for the others those of the present engine."""
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
    return profile
