"""Made-up models as native artefacts, for what begins with a model repository."""

from pathlib import Path

from neurocity.city.artefacts import write_model
from neurocity.contract import ArtefactFile, SceneInfo, SceneManifest
from neurocity.kernels.scene import SceneData


def write_native(folder: Path, scene: str, data: SceneData, info: SceneInfo) -> Path:
    """A model in float16 records as the first version of a scene below a folder; returns the version's."""
    manifest = SceneManifest(
        scene=scene,
        version=1,
        family="svraster",
        format="native",
        precision="fp16",
        checkpoint_sha256="",
        artefact=ArtefactFile(name="model.safetensors", sha256="", bytes=0),
        info=info,
    )
    return folder / write_model(folder, manifest, data).folder
