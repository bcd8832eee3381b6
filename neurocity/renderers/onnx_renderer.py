"""An artefact of the format onnx, by ONNX Runtime."""

from neurocity.cameras import Camera
from neurocity.contract import RENDER_OUTPUTS
from neurocity.errors import EngineError
from neurocity.light import Light
from neurocity.model_repository import Version
from neurocity.onnx_session import open_render_graph

_OUTPUTS = [spec.name for spec in RENDER_OUTPUTS]


class OnnxRenderer:
    """See `Renderer`."""

    def __init__(self, version: Version, device: str) -> None:
        """Raises as `open_render_graph`."""
        self.info = version.manifest.info
        self._manifest = version.manifest
        self._session = open_render_graph(version.artefact, version.manifest, device)

    def render(self, camera: Camera) -> Light:
        """See `Renderer`."""
        rays = camera.rays(radii=self._manifest.takes_ray_radii)
        light = Light.empty(len(rays))
        names = [spec.name for spec in self._manifest.inputs]
        for start in range(0, len(rays), self._manifest.rays_per_call):
            part = slice(start, start + self._manifest.rays_per_call)
            inputs = dict(zip(names, rays[part].arrays(), strict=True))
            try:
                planes = self._session.run(_OUTPUTS, inputs)
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                raise EngineError(f"scene {self._manifest.scene!r}: ONNX Runtime failed: {error}") from error
            for whole, plane in zip(light, planes, strict=True):
                whole[part] = plane
        return light.as_image(camera.height, camera.width)
