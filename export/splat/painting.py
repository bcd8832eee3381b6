"""What splat viewers draw of Gaussians: EWA splatting (Zwicker et al. 2001), front to back, in PyTorch.

Limits are those of 3D Gaussian Splatting's own renderer (Kerbl et al. 2023). `tests/reference/splatting.py`
is the slow and obvious twin.

Notation
    G Gaussians that are seen, P pixels of a tile, K Gaussians that a tile has, in the order of their z-depths
    x, y, z    camera axes of OpenCV, by which images are: right, down, forward
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from export.splat.gaussians import FAINTEST, Gaussians
from neurocity.cameras import Camera
from neurocity.contract import View
from neurocity.light import Light
from neurocity.rendering.spherical_harmonics import spherical_harmonics

NEAR: Final = 0.2
"""z-depth up to which nothing is drawn, world units."""
BLUR: Final = 0.3
"""Variance in pixels^2 that is added to what a Gaussian covers."""
MOST_ALPHA: Final = 0.99
LEAST_LIGHT: Final = 1e-4
"""A pixel is done before a Gaussian that would leave less of the light."""
FRUSTUM: Final = 1.3
"""Slopes beyond this multiple of the picture's are taken for it where a Gaussian is projected."""
_TILE: Final = 8
_AT_ONCE: Final = 512
"""Gaussians of a tile that are looked at before its pixels may be done."""


@dataclass(frozen=True, eq=False)
class Footprints:
    """Gaussians in a picture, nearest first.

    columns, rows [G]: of their middles, pixels' centres being at whole numbers. conics [3, G]: xx, xy and yy
    of the inverse covariance, 1 / pixels^2. reach [2, G]: columns and rows beyond which alpha is too faint.
    """

    columns: Tensor
    rows: Tensor
    conics: Tensor
    reach: Tensor
    opacities: Tensor
    colours: Tensor
    distances: Tensor


class SplatPainter:
    """Draws pictures of Gaussians, a `Painter`."""

    by = "EWA splatting with the limits of 3D Gaussian Splatting"

    def __init__(self, gaussians: Gaussians) -> None:
        self._centers = torch.from_numpy(gaussians.centers).double()
        self._deviations = torch.from_numpy(gaussians.deviations).double()
        self._opacities = torch.from_numpy(gaussians.opacities)
        self._colours = torch.from_numpy(gaussians.colours)

    @torch.inference_mode()
    def paint(self, view: View) -> Light:
        """The light of the view's pixels; depth is of the Gaussians' middles."""
        camera = Camera.from_view(view)
        prints = self._project(camera)
        tiles = _by_tile(prints, camera)
        picture = torch.zeros(camera.height, camera.width, 5)
        for (top, left), members in tiles:
            height, width = min(_TILE, camera.height - top), min(_TILE, camera.width - left)
            row, column = torch.meshgrid(
                torch.arange(top, top + height), torch.arange(left, left + width), indexing="ij"
            )
            light = _tile_light(prints, members, row.flatten(), column.flatten())
            picture[top : top + height, left : left + width] = light.view(height, width, 5)
        rgb, opacity, depth = picture.view(-1, 5).split([3, 1, 1], dim=1)
        return Light(
            rgb.clamp_max(1.0).contiguous().numpy(),
            (depth / opacity.clamp_min(1e-6)).flatten().numpy(),
            opacity.flatten().numpy(),
        )

    def _project(self, camera: Camera) -> Footprints:
        pose = torch.tensor(camera.camera_to_world)
        offsets = self._centers - pose[:3, 3]
        x, y, z = ((offsets @ pose[:3, :3]) * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)).t()
        order = torch.argsort(z, stable=True)
        order = order[z[order] > NEAR]
        x, y, z, offsets = x[order], y[order], z[order], offsets[order]
        limit_x, limit_y = FRUSTUM * camera.width / 2 / camera.fl_x, FRUSTUM * camera.height / 2 / camera.fl_y
        slope_x, slope_y = (x / z).clamp(-limit_x, limit_x), (y / z).clamp(-limit_y, limit_y)
        # Rows of the projection's Jacobian are (fl_x, 0, -fl_x x / z) / z and (0, fl_y, -fl_y y / z) / z.
        spread = (self._deviations[order] / z).square()
        xx = spread * camera.fl_x**2 * (1.0 + slope_x**2) + BLUR
        yy = spread * camera.fl_y**2 * (1.0 + slope_y**2) + BLUR
        xy = spread * camera.fl_x * camera.fl_y * slope_x * slope_y
        determinant = xx * yy - xy * xy
        opacities = self._opacities[order]
        # Alpha is FAINTEST on an ellipse; these are the sides of the box around it.
        squared = 2.0 * torch.log(opacities.double() / FAINTEST).clamp_min(0.0)
        distances = torch.linalg.vector_norm(offsets, dim=1)
        basis = spherical_harmonics((offsets / distances[:, None]).t().float())
        shown = self._colours[order]
        colours = 0.5 + torch.einsum("gbc,gb->gc", shown, basis[:, : shown.shape[1]])
        return Footprints(
            columns=camera.fl_x * x / z + camera.cx - 0.5,
            rows=camera.fl_y * y / z + camera.cy - 0.5,
            conics=torch.stack([yy, -xy, xx]) / determinant,
            reach=torch.stack([xx, yy]).mul(squared).sqrt(),
            opacities=opacities,
            colours=colours.clamp_min(0.0),
            distances=distances.float(),
        )


def _by_tile(prints: Footprints, camera: Camera) -> list[tuple[tuple[int, int], Tensor]]:
    """The first row and column of each tile that has any, and its Gaussians in their order."""
    across, down = math.ceil(camera.width / _TILE), math.ceil(camera.height / _TILE)
    first_column, columns = _range(prints.columns, prints.reach[0], across)
    first_row, rows = _range(prints.rows, prints.reach[1], down)
    count = columns * rows
    gaussian = torch.repeat_interleave(torch.arange(len(count)), count)
    within = torch.arange(len(gaussian)) - torch.repeat_interleave(count.cumsum(0) - count, count)
    tile = (first_row[gaussian] + within // columns[gaussian]) * across
    tile += first_column[gaussian] + within % columns[gaussian]
    order = torch.argsort(tile, stable=True)
    filled, sizes = torch.unique_consecutive(tile[order], return_counts=True)
    members = gaussian[order].split(sizes.tolist())
    places = [(number // across * _TILE, number % across * _TILE) for number in filled.tolist()]
    return list(zip(places, members, strict=True))


def _range(middles: Tensor, reach: Tensor, tiles: int) -> tuple[Tensor, Tensor]:
    """The first tile along an axis that each Gaussian is in, and how many tiles."""
    first = ((middles - reach) / _TILE).floor().clamp(0, tiles)
    end = ((middles + reach) / _TILE).floor().clamp(-1, tiles - 1) + 1.0
    return first.long(), (end - first).clamp_min(0.0).long()


def _tile_light(prints: Footprints, members: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Sums [P, 5] of colour, opacity and weighted distance."""
    light = torch.zeros(len(row), 5)
    left = torch.ones(len(row), 1)
    for part in members.split(_AT_ONCE):
        dx = (column[:, None] - prints.columns[part]).float()
        dy = (row[:, None] - prints.rows[part]).float()
        xx, xy, yy = prints.conics[:, part].float()
        alpha = prints.opacities[part] * torch.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)
        alpha = alpha.clamp_max(MOST_ALPHA)
        alpha = torch.where(alpha < FAINTEST, 0.0, alpha)
        leaving = left * torch.cumprod(1.0 - alpha, dim=1)
        arriving = torch.cat([left, leaving[:, :-1]], dim=1)
        weights = torch.where(leaving < LEAST_LIGHT, 0.0, alpha * arriving)
        distances = prints.distances[part, None]
        values = torch.cat([prints.colours[part], torch.ones_like(distances), distances], dim=1)
        light += weights @ values
        # What is done stays so: the next Gaussian would leave less still.
        left = torch.where(leaving[:, -1:] < LEAST_LIGHT, 0.0, leaving[:, -1:])
        if not left.any():
            break
    return light
