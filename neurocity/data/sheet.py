"""A sheet that shows how a dataset was read: its cameras from above and from the side, and its photographs.

What is wrong with poses shows here at a glance: cameras that look outwards, a ring that lies on its side, an
image in the wrong frustum, points far from where cameras look.
"""

import numpy as np
from PIL import Image, ImageDraw

from neurocity.data.drawing import (
    FAINT,
    HELD_OUT,
    INK,
    PAPER,
    TRAINED_ON,
    Array,
    Color,
    Plane,
    draw_frustum,
    draw_points,
    draw_scale_bar,
    font,
    horizontal_axes,
    some_points,
)
from neurocity.data.scene import Frame, Scene
from neurocity.data.summary import all_frames

PANEL, MARGIN, HEADING = 760, 24, 40
THUMBNAIL, COLUMNS, THUMBNAILS = 179, 8, 16
BOX: Color = (40, 140, 70)
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
    right, back = horizontal_axes(up)
    draw.text((MARGIN, 8), "from above", INK, font(20))
    draw.text((2 * MARGIN + PANEL, 8), "from the side", INK, font(20))
    for index, axes in enumerate((np.stack([right, back]), np.stack([right, up]))):
        sheet.paste(_panel(scene, axes), (MARGIN + index * (PANEL + MARGIN), HEADING))
    _legend(draw, scene, HEADING + PANEL + 8)
    top = HEADING + PANEL + MARGIN + HEADING - 8
    train = set(scene.splits["train"])
    for index, frame in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        place = (MARGIN + column * (THUMBNAIL + 12), top + row * (THUMBNAIL + HEADING))
        sheet.paste(_thumbnail(frame, TRAINED_ON if frame in train else HELD_OUT), place)
        draw.text((place[0], place[1] + THUMBNAIL + 4), _shortened(frame.name), INK, font(13))
    return sheet


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
    plane = Plane(axes, middle, 0.44 * PANEL / max(float(spread), 1e-12), PANEL)
    if scene.points is not None:
        draw_points(panel, plane(some_points(scene.points)))
    corners = plane(box)
    for a, b in _EDGES:
        draw.line([tuple(corners[a]), tuple(corners[b])], BOX, 2)
    train = set(scene.splits["train"])
    for frame in frames:
        draw_frustum(draw, plane, frame.camera, TRAINED_ON if frame in train else HELD_OUT)
    draw_scale_bar(draw, plane)
    draw.rectangle([0, 0, PANEL - 1, PANEL - 1], outline=FAINT)
    return panel


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
        draw.text((left + 22, top), text, INK, font(16))
        left += 44 + int(draw.textlength(text, font(16)))


def _spread(count: int, most: int) -> list[int]:
    """Indices of at most so many of `count` things, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _shortened(name: str, most: int = 25) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"
