"""Cameras: poses, intrinsics and lenses to rays and back. The conventions of all cameras stand here.

Notation
    camera_to_world  4x4 pose; columns are the camera's x, y, z axes and its centre in world units.
    OpenGL axes      x right, y up, the camera looks along -z (inside NeuroCity and in transforms.json).
    OpenCV axes      x right, y down, the camera looks along +z (COLMAP, and the formulas of lenses).
    (i, j)           row and column of a pixel; its sample is the pixel's centre, (j + 0.5, i + 0.5).
    fl_x, fl_y       focal lengths in pixels.
    cx, cy           principal point in pixels; the image's centre is (width / 2, height / 2).

Poses from what people say are in `neurocity.poses`, lens models in `neurocity.lenses`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from neurocity.contract import View
from neurocity.errors import CameraError
from neurocity.lenses import PINHOLE, Lens
from neurocity.poses import checked_pose

Array = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_UNPROJECT_BLOCK = 2**18
"""Pixels undistorted at once, which bounds the memory that Newton's iteration takes."""

_DIRECTIONS_BLOCK = 2**14
"""Pixels whose directions are computed at once, which a processor's cache holds."""

_INTRINSICS = ("width", "height", "fl_x", "fl_y", "cx", "cy")


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """R rays, float32: origins [R, 3] in world units, unit directions [R, 3] and, where they are wanted, the
    radii [R, 1] of their cones at unit distance.

    width: pixels in a row where these are the rays of a whole image, row after row, else 0. Kernels take
    neighbours together; the light of a ray does not depend on it.
    """

    origins: Float32
    directions: Float32
    radii: Float32 | None = None
    width: int = field(default=0, kw_only=True)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, part: slice | npt.NDArray[np.integer]) -> "Rays":
        """The rays of a slice, or of indices in their order."""
        return Rays(*(array[part] for array in self.arrays()))

    def arrays(self) -> tuple[Float32, ...]:
        """Origins, directions and, where they are given, radii: the inputs of a render graph."""
        present = (self.origins, self.directions)
        return present if self.radii is None else (*present, self.radii)

    @classmethod
    def joined(cls, parts: Sequence["Rays"]) -> "Rays":
        """The rays of all parts in their order; either all have radii or none."""
        return cls(*map(np.concatenate, zip(*(part.arrays() for part in parts), strict=True)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A posed camera of `width` x `height` pixels; see the module for axes, units and pixel centres.

    camera_to_world: 4x4 float64, OpenGL axes; see `checked_pose` for what it may be.
    Raises CameraError, whose `field` names the wrong argument, when the pose is not finite or not a rotation
    and a translation, or when a size or focal length is not positive.
    """

    camera_to_world: Array = field(repr=False)
    width: int
    height: int
    fl_x: float
    fl_y: float
    cx: float
    cy: float
    lens: Lens = PINHOLE

    def __post_init__(self) -> None:
        object.__setattr__(self, "camera_to_world", checked_pose(self.camera_to_world))
        for name in ("width", "height"):
            value = getattr(self, name)
            if not float(value).is_integer() or value < 1:
                raise CameraError(f"{name} is {value!r}, expected a whole number, at least 1", name)
            object.__setattr__(self, name, int(value))
        for name in ("fl_x", "fl_y", "cx", "cy"):
            value = float(getattr(self, name))
            if not math.isfinite(value) or (name.startswith("fl") and value <= 0):
                positive = "positive " if name.startswith("fl") else ""
                raise CameraError(f"{name} is {value!r}, expected a finite {positive}number of pixels", name)
            object.__setattr__(self, name, value)

    @classmethod
    def from_fov_y(cls, camera_to_world: Array, width: int, height: int, fov_y_degrees: float) -> "Camera":
        """A pinhole camera with square pixels, its principal point in the image centre and the vertical field
        of view `fov_y_degrees`, in (0, 180)."""
        tangent = math.tan(0.5 * math.radians(fov_y_degrees)) if 0.0 < fov_y_degrees < 180.0 else 0.0
        focal = 0.5 * float(height) / tangent if tangent else math.inf
        if not math.isfinite(focal):
            raise CameraError(
                f"fov_y_degrees is {fov_y_degrees!r}, expected degrees between 0 and 180", "fov_y_degrees"
            )
        return cls(
            camera_to_world=camera_to_world,
            width=width,
            height=height,
            fl_x=focal,
            fl_y=focal,
            cx=0.5 * width,
            cy=0.5 * height,
        )

    @classmethod
    def from_view(cls, view: View) -> "Camera":
        """The camera of a contract `View`."""
        intrinsics = {name: getattr(view, name) for name in _INTRINSICS}
        return cls(camera_to_world=np.array(view.camera_to_world, dtype=np.float64), **intrinsics)

    def to_view(self, name: str) -> View:
        """This camera as a contract `View`, which is pinhole only: raises CameraError for other lenses."""
        if self.lens.model != "PINHOLE":
            raise CameraError(
                f"view {name!r} has a {self.lens.model} lens, expected a pinhole camera", "lens"
            )
        rows = tuple(tuple(row) for row in self.camera_to_world.tolist())
        return View(name=name, camera_to_world=rows, **self.intrinsics)

    @property
    def intrinsics(self) -> dict[str, Any]:
        """Image size, focal lengths and principal point by name: all but pose and lens."""
        return {name: getattr(self, name) for name in _INTRINSICS}

    @property
    def position(self) -> Array:
        """The camera's centre [3] in world units."""
        return self.camera_to_world[:3, 3]

    def camera_directions(self) -> Array:
        """Unit ray directions [H*W, 3], float64, row-major pixels, in the camera's OpenGL axes.

        Raises CameraError (field `lens`) when the lens has no ray for a pixel: its parameters then do not fit
        this image size.
        """
        columns = (np.arange(self.width) + 0.5 - self.cx) / self.fl_x
        rows = (np.arange(self.height) + 0.5 - self.cy) / self.fl_y
        plane = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
        blocks = np.array_split(plane, -(-len(plane) // _UNPROJECT_BLOCK))
        directions = np.concatenate([self.lens.unproject(block) for block in blocks])
        blind = np.isnan(directions[:, 2])
        if blind.any():
            row, column = divmod(int(blind.argmax()), self.width)
            raise CameraError(
                f"the {self.lens.model} lens {self.lens.params} has no ray for {int(blind.sum())} of "
                f"{blind.size} pixels (first: row {row}, column {column}): its distortion folds over inside "
                "the image; check parameters, their order and the image size they were calibrated for",
                "lens",
            )
        directions[:, 1:] *= -1.0
        return directions

    def rays(self, *, radii: bool = False) -> Rays:
        """The ray of each pixel in world axes, row by row, with the radii of the pixels' cones if asked for.

        Raises CameraError as `camera_directions` does.
        """
        # As long as rows, since numpy is slow where it goes in steps of three numbers.
        row = np.empty((self.width, 3), np.float32)
        row[:] = self.position
        origins = np.empty((self.height, 3 * self.width), np.float32)
        origins[:] = row.reshape(-1)
        if self.lens.model == "PINHOLE" and not radii:
            return Rays(origins.reshape(-1, 3), self._pinhole_directions(), width=self.width)
        in_camera = self.camera_directions()
        directions = (in_camera @ self.camera_to_world[:3, :3].T).astype(np.float32)
        cones = self._radii(in_camera)[:, None] if radii else None
        return Rays(origins.reshape(-1, 3), directions, cones, width=self.width)

    def _pinhole_directions(self) -> Float32:
        """The unit directions [H*W, 3] of a pinhole camera's rays in world axes, computed in float64.

        As `camera_directions`, in an eighth of the time: the parts of rows and of columns are added.
        """
        right, up, back = self.camera_to_world[:3, :3].T
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fl_x
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fl_y
        of_columns = right[:, None] * x - back[:, None]
        of_rows = -up[:, None] * y
        directions = np.empty((self.height, self.width, 3), np.float32)
        rows_at_once = max(_DIRECTIONS_BLOCK // self.width, 1)
        for first in range(0, self.height, rows_at_once):
            rows = slice(first, first + rows_at_once)
            scale = 1.0 / np.sqrt((1.0 + x * x) + (y * y)[rows, None])
            for axis in range(3):
                directions[rows, :, axis] = (of_columns[axis] + of_rows[axis, rows, None]) * scale
        return directions.reshape(-1, 3)

    def ray_radii(self) -> Float32:
        """Radius at unit distance of each pixel's cone [H*W] (Barron et al. 2021, section 3.1).

        A pixel's width, the distance between the unit directions of neighbouring columns, times 2 / sqrt(12):
        the cone's circle then has the variance of the pixel's square in x and y.
        Raises CameraError as `camera_directions` does.
        """
        return self._radii(self.camera_directions())

    def _radii(self, camera_directions: Array) -> Float32:
        grid = camera_directions.reshape(self.height, self.width, 3)
        if self.width == 1:
            widths = np.full((self.height, 1), 1.0 / self.fl_x)
        else:
            widths = np.linalg.norm(np.diff(grid, axis=1), axis=-1)
            widths = np.concatenate([widths, widths[:, -1:]], axis=1)
        return (widths.reshape(-1) * (2.0 / np.sqrt(12.0))).astype(np.float32)

    def project(self, points_world: Array) -> tuple[Array, Array]:
        """World points [N, 3] to pixel coordinates [N, 2] as (x, y), and z-depth [N] along the viewing axis.

        Pixel coordinates are NaN for points that the lens does not see (behind it, beyond its field), and may
        lie outside of the image.
        """
        points = (np.asarray(points_world, dtype=np.float64) - self.position) @ self.camera_to_world[:3, :3]
        points = points * (1.0, -1.0, -1.0)
        return self.lens.project(points) * (self.fl_x, self.fl_y) + (self.cx, self.cy), points[:, 2]

    def unproject(self, z: Array, pixels: npt.NDArray[np.int64] | slice = slice(None)) -> Array:
        """World points [N, 3] that pixels show at z-depths [N]. pixels: their numbers, row by row; else all.

        Raises CameraError as `camera_directions` does.
        """
        directions = self.camera_directions()[pixels]
        in_camera = directions * (z / -directions[:, 2])[:, None]
        return self.position + in_camera @ self.camera_to_world[:3, :3].T

    def z_factors(self) -> Float32:
        """z-depth per unit of distance along the ray of each pixel [H*W]: `z = distance * z_factors`."""
        return (-self.camera_directions()[:, 2]).astype(np.float32)

    def cropped(self, x: int, y: int, width: int, height: int) -> "Camera":
        """The camera of a part of the image alone, whose upper left corner is at column x and row y."""
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)

    def resized(self, width: int, height: int) -> "Camera":
        """The same view sampled with another number of pixels; intrinsics scale per axis."""
        scale_x, scale_y = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fl_x=self.fl_x * scale_x,
            fl_y=self.fl_y * scale_y,
            cx=self.cx * scale_x,
            cy=self.cy * scale_y,
        )

    def downscaled(self, factor: int) -> "Camera":
        """The camera of an image whose blocks of factor x factor pixels are averaged to one.

        Rows and columns at the lower and right edge that fill no block are left out. Raises CameraError
        (field `downscale`) when no block fits.
        """
        if factor < 1 or min(self.width, self.height) < factor:
            raise CameraError(
                f"downscale is {factor!r}, expected 1..{min(self.width, self.height)} for an image of "
                f"{self.width}x{self.height} pixels",
                "downscale",
            )
        return replace(
            self,
            width=self.width // factor,
            height=self.height // factor,
            fl_x=self.fl_x / factor,
            fl_y=self.fl_y / factor,
            cx=self.cx / factor,
            cy=self.cy / factor,
        )
