"""A path that a user gives, to what renders it."""

from importlib import import_module
from pathlib import Path

from neurocity.errors import CheckpointError, MissingDependencyError, UnsupportedError
from neurocity.model_repository import newest_version_folder, open_version
from neurocity.renderers.renderer import Renderer

_ARTEFACTS = {
    "native": "neurocity.renderers.native_renderer:NativeRenderer",
    "onnx": "neurocity.renderers.onnx_renderer:OnnxRenderer",
}
"""Format of an artefact -> what renders it. Imported when needed: PyTorch and ONNX Runtime are extras."""
_CHECKPOINT = "neurocity.renderers.checkpoint_renderer:CheckpointRenderer"


def open_renderer(path: Path, device: str) -> Renderer:
    """What renders a checkpoint's file, or a model's folder of a repository, with a version or its newest.

    Raises CheckpointError or ManifestError when it is neither or broken, UnsupportedError on an artefact that
    another program has to render, and MissingDependencyError when a package or the device is absent.
    """
    if not path.is_dir():
        if not path.exists():
            raise CheckpointError(f"{path}: no such file")
        return _load(_CHECKPOINT, "checkpoints", "neurocity[cpu]")(path, device)
    version = open_version(newest_version_folder(path))
    kind = version.manifest.format
    if kind not in _ARTEFACTS:
        raise UnsupportedError(
            f"{path}: is a model in the format {kind}, rendered here are {' and '.join(_ARTEFACTS)}; take "
            "one of these, or the checkpoint, or render it by neurocity-serve"
        )
    version.verify(version.manifest.artefact)
    return _load(_ARTEFACTS[kind], f"{kind} artefacts", "neurocity[onnxruntime]")(version, device)


def _load(name: str, what: str, extra: str) -> type:
    module, _, attribute = name.partition(":")
    try:
        found: type = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{what} need the package {error.name!r}: pip install {extra!r}"
        ) from error
    return found
