"""What makes two pictures the same: the scene, the camera and the options."""

import hashlib
from dataclasses import replace

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from neurocity.pictures.options import DEFAULT_QUALITY, LOSSY_FORMATS, RenderOptions


def picture_key(
    manifest: SceneManifest, camera: Camera, options: RenderOptions, content: str | None = None
) -> str:
    """SHA-256 (hex) of all that a picture depends on, but for the release of this package.

    content: what stands for the scene's version and artefact, see `Offer.content`.
    """
    if options.format in LOSSY_FORMATS and options.quality is None:
        options = replace(options, quality=DEFAULT_QUALITY)
    numbers = (camera.width, camera.height, camera.fl_x, camera.fl_y, camera.cx, camera.cy, camera.lens)
    # A manifest may be replaced and its artefact stay: what encoding and placing read of it counts, too.
    info = (manifest.info.background, manifest.info.origin)
    shown = content or (manifest.version, manifest.artefact.sha256)
    scene = (manifest.scene, shown, info)
    parts = (scene, numbers, options)
    return hashlib.sha256(repr(parts).encode() + (camera.camera_to_world + 0.0).tobytes()).hexdigest()
