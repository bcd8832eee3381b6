"""What every renderer is."""

from typing import Protocol

from neurocity.cameras import Camera
from neurocity.contract import SceneInfo
from neurocity.light import Light


class Renderer(Protocol):
    """A scene that is open, and renders."""

    info: SceneInfo

    def render(self, camera: Camera) -> Light:
        """The light [H, W] of a camera in scene coordinates; blocks. Raises EngineError when it fails."""
