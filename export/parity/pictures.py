"""Where an artefact differs: heat maps and the worst view, as pictures beside it in `parity/`.

<view>.png       the rgb error of each held-out view, on a scale whose maximum is written below it
worst_view.png   of the view with the lowest PSNR: model, artefact, rgb error, opacity error

Those of an artefact that is refused are kept outside of the repository.
"""

import io
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from neurocity.contract import View
from neurocity.errors import ManifestError
from neurocity.light import Bytes, Float32, Light, over_background, to_bytes
from neurocity.pictures.png import encode_png

FOLDER = "parity"
WORST_VIEW = f"{FOLDER}/worst_view.png"
_LARGEST = 400
"""Longer sides are reduced to this; of the pixels that become one, the largest error stands for all."""
_SMALLEST = 240
"""Shorter widths are enlarged to this, so that the line below an image can be read."""
_LINE = 16
"""Height of a line of text in pixels."""
_SCALE = (
    (0.0, (0, 0, 0)),
    (0.25, (66, 10, 104)),
    (0.5, (188, 55, 84)),
    (0.75, (249, 142, 9)),
    (1.0, (252, 255, 200)),
)
"""Colours of an error as a share of the scale's maximum: black, violet, red, orange, near white."""


class ErrorPictures:
    """Collects the pictures of one artefact, view by view: `files`, as PNG by path in the version folder."""

    def __init__(self, background: tuple[float, float, float] | None) -> None:
        self._background = background
        self.files: dict[str, bytes] = {}
        self._lowest = math.inf

    def add(self, index: int, view: View, got: Light, expected: Light, psnr_db: float) -> None:
        """The heat map of a view, and the sheet of four when none had a lower PSNR so far."""
        rgb_error = np.abs(got.rgb - expected.rgb).max(axis=1)
        heat_map = _heat_map(rgb_error, view, "rgb error")
        self.files[f"{FOLDER}/{file_stem(index, view)}.png"] = encode_png(np.asarray(heat_map))
        if math.isnan(psnr_db) or psnr_db < self._lowest:
            self._lowest = -math.inf if math.isnan(psnr_db) else psnr_db
            pictures = [
                _captioned(_photo(over_background(light.rgb, light.opacity, self._background), view), caption)
                for light, caption in ((expected, "model"), (got, "artefact"))
            ]
            opacity_error = _heat_map(np.abs(got.opacity - expected.opacity), view, "opacity error")
            title = f"{view.name}: {psnr_db:.1f} dB"
            sheet = _sheet([*pictures, heat_map, opacity_error], title)
            self.files[WORST_VIEW] = encode_png(np.asarray(sheet))


def file_stem(index: int, view: View) -> str:
    """A name for files of a held-out view: its number, and what of its name may stand in a file name."""
    return f"{index:03d}_" + re.sub(r"[^A-Za-z0-9-]+", "_", view.name).strip("_")[-60:]


def keep_pictures(files: Mapping[str, bytes], model: str) -> Path:
    """Writes the pictures of a refused artefact into a temporary folder that stays, and returns it.

    The folder is the user's own and has the name of the model; what an earlier failure left there goes.
    Raises OSError.
    """
    own = Path(tempfile.gettempdir()) / f"neurocity-parity-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise PermissionError(f"{own} is not a folder of this user")
    folder = own / model
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for name, data in files.items():
        (folder / Path(name).name).write_bytes(data)
    return folder


def decode_png(data: bytes, where: str) -> Bytes:
    """The pixels [H, W, 3] of a PNG file. Raises ManifestError, naming `where`, when it is not one."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ManifestError(f"{where}: cannot be read as a PNG ({error}); export the scene again") from None


def scale_colours(shares: Float32) -> Bytes:
    """Colours [..., 3] of errors given as shares of the scale's maximum; NaN is the maximum."""
    stops = np.array([stop for stop, _ in _SCALE])
    colours = np.array([colour for _, colour in _SCALE], dtype=float)
    filled = np.where(np.isnan(shares), 1.0, shares)
    channels = [np.interp(filled, stops, colours[:, channel]) for channel in range(3)]
    return (np.stack(channels, -1) + 0.5).astype(np.uint8)


def _heat_map(error: Float32, view: View, name: str) -> Image.Image:
    largest = float(error.max())
    shares = _reduced(error.reshape(view.height, view.width)) / (largest or 1.0)
    image = _captioned(_enlarged(scale_colours(shares)), f"{name}, 0 to {largest:.2e}")
    bar = scale_colours(np.broadcast_to(np.linspace(0, 1, image.width), (_LINE // 2, image.width)))
    image.paste(Image.fromarray(bar), (0, image.height - _LINE // 2))
    return image


def _reduced(error: Float32) -> Float32:
    """The largest error of each block of pixels [H, W] that becomes one."""
    height, width = error.shape
    side = -(-max(height, width) // _LARGEST)
    padded = np.pad(error, ((0, -height % side), (0, -width % side)))
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    return blocks.max(axis=(1, 3))


def _photo(image: Float32, view: View) -> Image.Image:
    picture = Image.fromarray(to_bytes(image.reshape(view.height, view.width, 3)))
    side = -(-max(picture.size) // _LARGEST)
    return _enlarged(np.asarray(picture.reduce(side)))


def _enlarged(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    times = max(1, -(-_SMALLEST // image.width))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _captioned(image: Image.Image, text: str) -> Image.Image:
    """The image with a line of text, and room for the colours of a scale, below it."""
    sheet = Image.new("RGB", (image.width, image.height + 2 * _LINE), "white")
    sheet.paste(image)
    _write(sheet, (4, image.height + 2), text)
    return sheet


def _sheet(images: list[Image.Image], title: str) -> Image.Image:
    """Four images, two by two, under a title."""
    width, height = (max(sizes) for sizes in zip(*(image.size for image in images), strict=True))
    sheet = Image.new("RGB", (2 * width + 8, 2 * height + 8 + _LINE), "white")
    _write(sheet, (4, 2), title)
    for place, image in enumerate(images):
        sheet.paste(image, (place % 2 * (width + 8), _LINE + place // 2 * (height + 8)))
    return sheet


def _write(sheet: Image.Image, place: tuple[int, int], text: str) -> None:
    printable = text.encode("ascii", "replace").decode()  # Pillow's own font has no more
    ImageDraw.Draw(sheet).text(place, printable, fill="black", font=ImageFont.load_default())
