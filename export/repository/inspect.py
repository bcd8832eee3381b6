"""What stands in a folder of a model repository, as its manifests say; plain JSON data."""

from pathlib import Path
from typing import Any

from neurocity.contract import MANIFEST_FILE, SceneInfo, SceneManifest, to_dict
from neurocity.errors import ExportError, NeuroCityError
from neurocity.model_repository import open_version, version_folders

_OF_ARTEFACT = (
    "scene",
    "version",
    "family",
    "format",
    "precision",
    "created",
    "artefact",
    "checkpoint_sha256",
)
_OF_GRAPH = ("inputs", "outputs", "sample_budget", "rays_per_call", "tools")


def inspect_folder(path: Path) -> dict[str, Any]:
    """The description of a version, a model or a repository.

    Raises ExportError when the folder is none of them, and ManifestError as `open_version` does.
    """
    if (path / MANIFEST_FILE).is_file():
        return inspect_version(path)
    if versions := version_folders(path):
        return {"kind": "model", "path": str(path), "versions": [_version_or_problem(v) for v in versions]}
    versions = [version for model in sorted(path.iterdir()) for version in version_folders(model)]
    if not versions:
        raise ExportError(
            f"{path}: is neither a version folder (with a {MANIFEST_FILE}), nor a model folder (with "
            "versions 1, 2, ...), nor a repository of such"
        )
    return {"kind": "repository", "path": str(path), "versions": [_version_or_problem(v) for v in versions]}


def inspect_version(folder: Path) -> dict[str, Any]:
    """The description of a version; `problem` says which of its files are not what was shipped.

    Raises ManifestError as `open_version` does.
    """
    version = open_version(folder)
    problems = "; ".join(filter(None, map(version.problem, version.files)))
    return {
        "kind": "version",
        "path": str(folder),
        **describe_manifest(version.manifest),
        "problem": problems,
    }


def _version_or_problem(folder: Path) -> dict[str, Any]:
    try:
        return inspect_version(folder)
    except NeuroCityError as error:
        return {"kind": "version", "path": str(folder), "problem": str(error)}


def describe_manifest(manifest: SceneManifest) -> dict[str, Any]:
    """What a manifest says of an artefact, its scene and its proof."""
    data = to_dict(manifest)
    described = {name: data[name] for name in _OF_ARTEFACT} | describe_scene(manifest.info)
    described |= {name: data[name] for name in _OF_GRAPH}
    if manifest.parity:
        described["parity"] = worst_figures(manifest) | {"checks_passed": manifest.parity["checks_passed"]}
    return described


def describe_scene(info: SceneInfo) -> dict[str, Any]:
    """What a checkpoint or a manifest says of the scene."""
    return {
        "bounds": list(info.bounds),
        "up": list(info.up),
        "background": None if info.background is None else list(info.background),
        "views": len(info.views),
        "dataset_fingerprint": info.dataset_fingerprint,
    }


def worst_figures(manifest: SceneManifest) -> dict[str, float]:
    """The figures of a verified artefact in its worst held-out view of any size, and its rays per second."""
    views = [*manifest.parity["views"], *manifest.parity.get("scales", ())]
    return {
        "psnr_db": min(view["psnr_db"] for view in views),
        "ssim": min(view["ssim"] for view in views),
        "rgb_error": max(view["rgb"] for view in views),
        "opacity_error": max(view["opacity"] for view in views),
        "rays_per_second": manifest.parity["rays_per_second"],
    }
