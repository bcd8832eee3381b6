"""What is asked of `RenderService`, and what it gives."""

import math
from dataclasses import dataclass, field

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from neurocity.pictures.encoded import EncodedImage
from neurocity.pictures.options import RenderOptions
from serving.render.quotas import Client
from serving.scenes.version import SceneVersion


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """A picture of a scene, of the size of the camera, which is in world coordinates.

    client: who asks. The engine's time is shared out fairly between clients, and some have a quota.
    version: of the scene; None for the newest. held: by `RenderService.hold`, in place of a number.
    for_film: whether it is a frame of a film. It then gives way to pictures that somebody waits for, comes as
    the bytes of its pixels and not as an image file, and is neither shared nor kept.
    wait_seconds: how long blocks that are not in memory are waited for, of scenes that have such; what has
    not come by then, or by half of the deadline, is shown coarser.
    keep: whether somebody may ask for the same picture again. key: its `picture_key` by the manifest `shown`,
    where that is known already.
    """

    scene: str
    camera: Camera
    options: RenderOptions = field(default_factory=RenderOptions)
    client: Client = field(default_factory=Client)
    version: int | None = None
    held: SceneVersion | None = None
    for_film: bool = False
    wait_seconds: float = math.inf
    keep: bool = True
    key: str | None = None
    shown: SceneManifest | None = None


@dataclass(frozen=True, kw_only=True)
class Stages:
    """A picture that was rendered, and the seconds that it waited, was rendered and was encoded.

    engine: what rendered it. queue: until its first tile's turn; load: that it waited for blocks, beside
    that; compute: from that turn to the last one's end. in_blocks: whether it is of a scene whose blocks are
    loaded on demand; coarse: whether some were not there in time. Those that have no model at all are not
    among them.
    """

    scene: str
    engine: str
    pixels: int
    queue: float
    load: float
    compute: float
    encode: float
    in_blocks: bool
    coarse: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded picture, the version of the scene that it shows, and how it was made.

    manifest: of that version. key: its `picture_key`, empty of a film's frame.
    coarse: blocks of the scene that are shown coarser than they are, as they were not there in time. settled:
    whether an equal picture will be equal to this one; pending: whether it will not be soon.
    """

    image: EncodedImage
    manifest: SceneManifest
    stages: Stages
    key: str
    coarse: tuple[str, ...] = ()
    settled: bool = True
    pending: bool = False

    @property
    def scene_version(self) -> int:
        """The number of the version that it shows."""
        return self.manifest.version
