"""What makes two pictures the same: the artefact, the camera and the options."""

import hashlib

from neurocity.cameras import Camera
from neurocity.contract import SceneManifest
from serving.render.options import DEFAULT_QUALITY, LOSSY_FORMATS, RenderOptions


def picture_key(manifest: SceneManifest, camera: Camera, options: RenderOptions) -> str:
    """SHA-256 (hex) of all that a picture depends on, but for the release of this package."""
    quality = (options.quality or DEFAULT_QUALITY) if options.format in LOSSY_FORMATS else None
    numbers = (camera.width, camera.height, camera.fl_x, camera.fl_y, camera.cx, camera.cy, camera.lens)
    artefact = (manifest.scene, manifest.version, manifest.artefact.sha256)
    parts = (artefact, numbers, options.output, options.format, options.background, quality)
    return hashlib.sha256(repr(parts).encode() + (camera.camera_to_world + 0.0).tobytes()).hexdigest()
