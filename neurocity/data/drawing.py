"""What pictures of datasets have in common: points, cameras and a scale, as seen along a direction."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from neurocity.cameras import Camera

Array = npt.NDArray[np.float64]
Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
INK: Color = (32, 32, 36)
FAINT: Color = (150, 150, 156)
TRAINED_ON: Color = (30, 90, 200)
HELD_OUT: Color = (225, 110, 20)

MOST_POINTS = 50_000
"""Points drawn of a panel; more do not show."""


@dataclass(frozen=True)
class Plane:
    """World points on a square panel: the plane of two axes [2, 3] around a centre, pixels per unit.

    size: pixels along the panel's side.
    """

    axes: Array
    center: Array
    scale: float
    size: int

    def __call__(self, points: Array) -> Array:
        """Points [N, 3] as pixels [N, 2], the second axis upwards."""
        return 0.5 * self.size + ((points - self.center) @ self.axes.T) * (self.scale, -self.scale)


def draw_frustum(draw: ImageDraw.ImageDraw, plane: Plane, camera: Camera, color: Color) -> None:
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


def some_points(points: Array) -> Array:
    """At most `MOST_POINTS` of points [N, 3], evenly."""
    return points[:: max(-(-len(points) // MOST_POINTS), 1)]


def draw_points(panel: Image.Image, pixels: Array) -> None:
    """Points at pixels [N, 2] of a square panel as gray, the darker the more of them fall on a pixel."""
    inside = pixels[((pixels >= 0) & (pixels < panel.width)).all(1)].astype(np.int64)
    counts = np.zeros((panel.height, panel.width))
    np.add.at(counts, (inside[:, 1], inside[:, 0]), 1.0)
    gray = 255.0 - 150.0 * np.minimum(counts, 3.0) / 3.0 - 40.0 * (counts > 0)
    panel.paste(Image.fromarray(gray.astype(np.uint8)).convert("RGB"))


def draw_scale_bar(draw: ImageDraw.ImageDraw, plane: Plane) -> None:
    """A bar of 1, 2 or 5 times a power of ten units, a fifth of the panel at most."""
    most = 0.2 * plane.size / plane.scale
    power = 10.0 ** np.floor(np.log10(most))
    units = float(max(step * power for step in (1, 2, 5) if step * power <= most))
    left, bottom = 16, plane.size - 20
    draw.line([left, bottom, left + units * plane.scale, bottom], INK, 3)
    draw.text((left, bottom - 22), f"{units:g} unit{'s' * (units != 1.0)}", INK, font(15))


def horizontal_axes(up: Array) -> tuple[Array, Array]:
    """Two unit axes perpendicular to `up`: the one nearest to x or y of the world, and the other."""
    nearest = np.eye(3)[0 if abs(up[0]) < 0.9 else 1]
    right = nearest - up * (nearest @ up)
    right /= np.linalg.norm(right)
    return right, np.cross(up, right)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of texts, so many pixels high."""
    return ImageFont.load_default(size)
