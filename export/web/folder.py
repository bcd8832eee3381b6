"""The folder as a whole: a model to all of its files, and these to a scene that kernels render."""

import math
from pathlib import Path
from typing import Final

from export.bits import Bits
from export.placeholder.target import placeholder_files
from export.web.contents import Contents
from export.web.decode import Read, read_contents
from export.web.groups import pack_groups
from export.web.header import FILE, Header, header_of, header_script, read_header
from export.web.pack import contents_of
from export.web.page.files import page_files
from neurocity.cameras import Camera
from neurocity.contract import SceneInfo
from neurocity.errors import ParityError, UnreadableError
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.light import over_background, to_bytes
from neurocity.pictures.png import encode_png

POSTER: Final = "poster.png"
_POSTER_PIXELS: Final = 1 << 16


def scene_files(data: SceneData, manifest_json: str, bits: Bits) -> tuple[dict[str, bytes], Contents]:
    """Header and groups by their path in the folder, and the scene that was decoded from them.

    data: the model's own tensors, see `contents_of`, which also says what is raised; and ParityError when
    what was decoded is not what was packed.
    """
    contents = contents_of(data, bits)
    groups, files = pack_groups(contents)
    files[FILE] = header_script(header_of(contents, manifest_json, groups))
    _, decoded = read_contents(files.__getitem__)
    if lost := contents.differences(decoded):
        raise ParityError(f"the files hold other {', '.join(lost)} than were packed; nothing was shipped")
    return files, decoded


def folder_files(data: SceneData, manifest_json: str, bits: Bits) -> dict[str, bytes]:
    """All files of the folder by their path in it, but for `manifest.json`. Raises as `scene_files`."""
    files, decoded = scene_files(data, manifest_json, bits)
    info = read_header(files[FILE]).manifest.info
    return {**files, **page_files(), POSTER: _poster(decoded, info), **placeholder_files()}


def read_folder(folder: Path) -> tuple[Header, Contents]:
    """The scene of a folder. Raises ManifestError when a file is not what it must be, UnreadableError when
    one cannot be read."""
    return read_contents(_reader(folder))


def _reader(folder: Path) -> Read:
    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise UnreadableError(
                f"{folder / name}: cannot be read ({error.strerror}); export the scene again"
            ) from None

    return read


def _poster(contents: Contents, info: SceneInfo) -> bytes:
    """The first held-out view as a PNG."""
    camera = Camera.from_view(info.views[0])
    scale = min(math.sqrt(_POSTER_PIXELS / (camera.width * camera.height)), 1.0)
    camera = camera.resized(*(max(round(side * scale), 1) for side in (camera.width, camera.height)))
    light = render_rays(open_scene(contents.scene_data()), camera.rays())
    assert light is not None, "nothing stops it"
    image = to_bytes(over_background(light.rgb, light.opacity, info.background))
    return encode_png(image.reshape(camera.height, camera.width, 3))
