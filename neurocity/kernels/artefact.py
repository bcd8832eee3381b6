"""Artefacts of the format native, opened to be rendered: the same way for commands and the gateway."""

from pathlib import Path

from neurocity.contract import TensorSpec
from neurocity.errors import EngineError
from neurocity.kernels.file import open_file, scene_data, scene_inputs
from neurocity.kernels.library import library
from neurocity.kernels.scene import KernelScene, open_scene


def open_artefact(path: Path, inputs: tuple[TensorSpec, ...]) -> KernelScene:
    """The scene of a file whose rays have these inputs, as its manifest says.

    Raises MissingDependencyError where the kernels were not built, EngineError when its rays have others, and
    ManifestError when the file is not a scene.
    """
    library()
    file = open_file(path)
    if (got := scene_inputs(file)) != inputs:
        names = [[spec.name for spec in specs] for specs in (got, inputs)]
        raise EngineError(f"{path}: takes {names[0]}, its manifest says {names[1]}")
    return open_scene(scene_data(file))
