"""An artefact of the format native, by the compiled kernels."""

from neurocity.cameras import Camera
from neurocity.errors import MissingDependencyError
from neurocity.kernels.artefact import open_artefact
from neurocity.kernels.scene import render_rays
from neurocity.light import Light
from neurocity.model_repository import Version


class NativeRenderer:
    """See `Renderer`."""

    def __init__(self, version: Version, device: str) -> None:
        """Raises as `open_artefact`, and MissingDependencyError for another device than the CPU."""
        if device != "cpu":
            raise MissingDependencyError(
                f"device {device!r}: native artefacts are rendered on the cpu; use --device cpu, or take "
                "the scene's onnx artefact or its checkpoint"
            )
        self.info = version.manifest.info
        self._scene = open_artefact(version.artefact, version.manifest.inputs)
        self._radii = version.manifest.takes_ray_radii

    def render(self, camera: Camera) -> Light:
        """See `Renderer`."""
        light = render_rays(self._scene, camera.rays(radii=self._radii))
        assert light is not None, "nothing stops it"
        return light.as_image(camera.height, camera.width)
