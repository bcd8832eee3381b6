"""What `RenderService` knows of a picture that it makes."""

from dataclasses import dataclass, field

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from neurocity.pictures.options import RenderOptions
from serving.render.admission import Reservation
from serving.render.cost import SceneCost
from serving.render.tile_times import TileTimes
from serving.scenes.version import SceneVersion


@dataclass(kw_only=True)
class PictureJob:
    """What is known of a picture that is going to be made.

    camera: in scene coordinates. pixels_left: that are not rendered yet. key: of the picture.
    until: to which blocks are waited for, see `block_views`; load_seconds: what is reserved for that.
    """

    version: SceneVersion
    key: str
    until: float
    load_seconds: float
    camera: Camera
    options: RenderOptions
    for_film: bool
    cost: SceneCost
    reservation: Reservation
    pixels_left: int
    tiles: TileTimes = field(default_factory=TileTimes)

    @property
    def pixels(self) -> int:
        return self.camera.width * self.camera.height

    @property
    def manifest(self) -> SceneManifest:
        return self.version.manifest
