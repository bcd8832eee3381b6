"""A sheet that shows how a dataset was read: its cameras from above and from the side, and its photographs.

What is wrong with poses shows here at a glance: cameras that look outwards, a ring that lies on its side, an
image in the wrong frustum, points far from where cameras look.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from neurocity.cameras import Camera
from neurocity.data.scene import Frame, Scene
from neurocity.data.summary import all_frames

Array = npt.NDArray[np.float64]
Color = tuple[int, int, int]

PANEL, MARGIN, HEADING = 760, 24, 40
THUMBNAIL, COLUMNS, THUMBNAILS = 179, 8, 16
MOST_POINTS = 50_000
"""Points drawn of a panel; more do not show."""

PAPER: Color = (255, 255, 255)
INK: Color = (32, 32, 36)
FAINT: Color = (150, 150, 156)
BOX: Color = (40, 140, 70)
TRAINED_ON: Color = (30, 90, 200)
HELD_OUT: Color = (225, 110, 20)
MASKED: Color = (230, 30, 60)

_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


def draw_sheet(scene: Scene) -> Image.Image:
    """The sheet as an RGB image. Raises DataError when a photograph or mask that it shows cannot be read."""
    frames = all_frames(scene)
    shown = [frames[index] for index in _spread(len(frames), THUMBNAILS)]
    rows = -(-len(shown) // COLUMNS)
    width = 2 * PANEL + 3 * MARGIN
    height = HEADING + PANEL + 2 * MARGIN + rows * (THUMBNAIL + HEADING) + HEADING
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    up = np.array(scene.up)
    right, back = _horizontal_axes(up)
    draw.text((MARGIN, 8), "from above", INK, _font(20))
    draw.text((2 * MARGIN + PANEL, 8), "from the side", INK, _font(20))
    for index, axes in enumerate((np.stack([right, back]), np.stack([right, up]))):
        sheet.paste(_panel(scene, axes), (MARGIN + index * (PANEL + MARGIN), HEADING))
    _legend(draw, scene, HEADING + PANEL + 8)
    top = HEADING + PANEL + MARGIN + HEADING - 8
    train = set(scene.splits["train"])
    for index, frame in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        place = (MARGIN + column * (THUMBNAIL + 12), top + row * (THUMBNAIL + HEADING))
        sheet.paste(_thumbnail(frame, TRAINED_ON if frame in train else HELD_OUT), place)
        draw.text((place[0], place[1] + THUMBNAIL + 4), _shortened(frame.name), INK, _font(13))
    return sheet


@dataclass(frozen=True)
class _Plane:
    """World points on a panel: the plane of two axes [2, 3] around a centre, pixels per unit."""

    axes: Array
    center: Array
    scale: float

    def __call__(self, points: Array) -> Array:
        """Points [N, 3] as pixels [N, 2], the second axis upwards."""
        return 0.5 * PANEL + ((points - self.center) @ self.axes.T) * (self.scale, -self.scale)


def _panel(scene: Scene, axes: Array) -> Image.Image:
    panel = Image.new("RGB", (PANEL, PANEL), PAPER)
    draw = ImageDraw.Draw(panel)
    frames = all_frames(scene)
    positions = np.stack([frame.camera.position for frame in frames])
    low, high = np.split(np.array(scene.bounds), 2)
    box = low + _CORNERS * (high - low)
    extent = np.concatenate([positions, box])
    middle = 0.5 * (extent.min(0) + extent.max(0))
    spread = np.abs((extent - middle) @ axes.T).max()
    plane = _Plane(axes, middle, 0.44 * PANEL / max(float(spread), 1e-12))
    if scene.points is not None:
        _scatter(panel, plane(_some(scene.points)))
    corners = plane(box)
    for a, b in _EDGES:
        draw.line([tuple(corners[a]), tuple(corners[b])], BOX, 2)
    train = set(scene.splits["train"])
    for frame in frames:
        _frustum(draw, plane, frame.camera, TRAINED_ON if frame in train else HELD_OUT)
    _scale_bar(draw, plane.scale)
    draw.rectangle([0, 0, PANEL - 1, PANEL - 1], outline=FAINT)
    return panel


def _frustum(draw: ImageDraw.ImageDraw, plane: _Plane, camera: Camera, color: Color) -> None:
    """A pyramid 26 pixels long, from the centre to the corners of the image; its upper edge is thick."""
    corners = np.array([(0, 0), (camera.width, 0), (camera.width, camera.height), (0, camera.height)])
    x, y = ((corners - (camera.cx, camera.cy)) / (camera.fl_x, camera.fl_y)).T
    rays = np.stack([x, -y, -np.ones(4)], -1)
    rays *= 26.0 / plane.scale / max(float(np.linalg.norm(rays, axis=1).max()), 1e-12)
    pixels = plane(
        np.concatenate([np.zeros((1, 3)), rays @ camera.camera_to_world[:3, :3].T]) + camera.position
    )
    eye, *ends = (tuple(pixel) for pixel in pixels.tolist())
    for index, end in enumerate(ends):
        draw.line([eye, end], color)
        draw.line([end, ends[(index + 1) % 4]], color, 3 if index == 0 else 1)


def _scatter(panel: Image.Image, pixels: Array) -> None:
    """Points as gray, the darker the more of them fall on a pixel."""
    inside = pixels[((pixels >= 0) & (pixels < PANEL)).all(1)].astype(np.int64)
    counts = np.zeros((PANEL, PANEL))
    np.add.at(counts, (inside[:, 1], inside[:, 0]), 1.0)
    gray = 255.0 - 150.0 * np.minimum(counts, 3.0) / 3.0 - 40.0 * (counts > 0)
    panel.paste(Image.fromarray(gray.astype(np.uint8)).convert("RGB"))


def _scale_bar(draw: ImageDraw.ImageDraw, pixels_per_unit: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten units, a fifth of the panel at most."""
    most = 0.2 * PANEL / pixels_per_unit
    power = 10.0 ** np.floor(np.log10(most))
    units = float(max(step * power for step in (1, 2, 5) if step * power <= most))
    left, bottom = 16, PANEL - 20
    draw.line([left, bottom, left + units * pixels_per_unit, bottom], INK, 3)
    draw.text((left, bottom - 22), f"{units:g} unit{'s' * (units != 1.0)}", INK, _font(15))


def _thumbnail(frame: Frame, color: Color) -> Image.Image:
    """The photograph over gray where it is transparent, masked pixels reddened, in a frame of that colour."""
    pixels = frame.load_image().astype(np.float64)
    alpha = pixels[..., 3:] / 255.0
    shown = pixels[..., :3] * alpha + 200.0 * (1.0 - alpha)
    trainable = frame.load_mask()
    if trainable is not None:
        shown[~trainable] = 0.4 * shown[~trainable] + 0.6 * np.array(MASKED)
    picture = Image.fromarray(shown.astype(np.uint8))
    picture.thumbnail((THUMBNAIL - 6, THUMBNAIL - 6))
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), PAPER)
    place = ((THUMBNAIL - picture.width) // 2, (THUMBNAIL - picture.height) // 2)
    right, bottom = place[0] + picture.width + 2, place[1] + picture.height + 2
    ImageDraw.Draw(square).rectangle([place[0] - 3, place[1] - 3, right, bottom], fill=color)
    square.paste(picture, place)
    return square


def _legend(draw: ImageDraw.ImageDraw, scene: Scene, top: int) -> None:
    entries = [("trained on", TRAINED_ON), ("held out", HELD_OUT), ("bounds", BOX)]
    entries += [("sparse points", FAINT)] if scene.points is not None else []
    entries += [("masked", MASKED)] if any(frame.mask_paths for frame in all_frames(scene)) else []
    left = MARGIN
    for text, color in entries:
        draw.rectangle([left, top + 4, left + 14, top + 18], fill=color)
        draw.text((left + 22, top), text, INK, _font(16))
        left += 44 + int(draw.textlength(text, _font(16)))


def _horizontal_axes(up: Array) -> tuple[Array, Array]:
    """Two unit axes perpendicular to `up`: the one nearest to x or y of the world, and the other."""
    nearest = np.eye(3)[0 if abs(up[0]) < 0.9 else 1]
    right = nearest - up * (nearest @ up)
    right /= np.linalg.norm(right)
    return right, np.cross(up, right)


def _spread(count: int, most: int) -> list[int]:
    """Indices of at most so many of `count` things, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _some(points: Array) -> Array:
    return points[:: -(-len(points) // MOST_POINTS)]


def _shortened(name: str, most: int = 25) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
