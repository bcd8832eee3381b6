"""Geometry as flat patches: parallelograms and triangles that carry a style and surface coordinates.

A patch is `corner + u edge_u + v edge_v` with u, v in [0, 1] (and u + v <= 1 for a triangle). It faces
`edge_u x edge_v`. Surface coordinates are metres: s = u |edge_u|, t = v |edge_v|.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import trimesh

from neurocity.data.city.layout import Rect, Side

Vector = Sequence[float]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mesh:
    """P patches, structure of arrays.

    corner, edge_u, edge_v: [P, 3] float64. is_triangle: [P] bool. style: [P] int32, row of the style table.
    center: [P, 3] float64, for rounded things the point that the shading normal points away from; NaN for
    flat patches.
    """

    corner: FloatArray
    edge_u: FloatArray
    edge_v: FloatArray
    is_triangle: npt.NDArray[np.bool_]
    style: npt.NDArray[np.int32]
    center: FloatArray

    @property
    def lengths(self) -> FloatArray:
        """[P, 2] lengths of edge_u and edge_v in metres."""
        return np.stack([np.linalg.norm(self.edge_u, axis=1), np.linalg.norm(self.edge_v, axis=1)], axis=1)

    @property
    def normals(self) -> FloatArray:
        """[P, 3] unit normals of the planes of the patches."""
        normals = np.cross(self.edge_u, self.edge_v)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    @property
    def top(self) -> float:
        """The largest z of any vertex."""
        return float(self.triangles()[0][..., 2].max())

    def part(self, chosen: slice) -> "Mesh":
        """Some of the patches."""
        return Mesh(*(getattr(self, name)[chosen] for name in self.__slots__))

    def triangles(self) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """The patches as triangles: vertices [T, 3, 3] and the patch of every triangle [T].

        The first P triangles are (corner, +edge_u, +edge_v); the others complete the parallelograms from the
        opposite corner, so that barycentric (u, v) there means (1 - u, 1 - v) of the patch.
        """
        first = np.stack([self.corner, self.corner + self.edge_u, self.corner + self.edge_v], axis=1)
        whole = np.flatnonzero(~self.is_triangle)
        far = self.corner[whole] + self.edge_u[whole] + self.edge_v[whole]
        second = np.stack([far, far - self.edge_u[whole], far - self.edge_v[whole]], axis=1)
        return np.concatenate([first, second]), np.concatenate([np.arange(len(self.corner)), whole])


FLAT = (math.nan,) * 3
"""The `center` of patches that are not shaded as round."""


@dataclass(slots=True)
class MeshBuilder:
    """Collects patches; `build` freezes them into a Mesh."""

    _numbers: array = field(default_factory=lambda: array("d"))
    _styles: array = field(default_factory=lambda: array("i"))
    _is_triangle: bytearray = field(default_factory=bytearray)

    def parallelogram(self, corner: Vector, edge_u: Vector, edge_v: Vector, *, style: int) -> None:
        """A parallelogram that faces edge_u x edge_v."""
        self._numbers.extend((*corner, *edge_u, *edge_v, *FLAT))
        self._styles.append(style)
        self._is_triangle.append(False)

    def triangle(self, a: Vector, b: Vector, c: Vector, *, style: int, center: Vector = FLAT) -> None:
        """A triangle, counter-clockwise seen from its front; with a `center` it is shaded as round."""
        edge_u = (b[0] - a[0], b[1] - a[1], b[2] - a[2])
        edge_v = (c[0] - a[0], c[1] - a[1], c[2] - a[2])
        self._numbers.extend((*a, *edge_u, *edge_v, *center))
        self._styles.append(style)
        self._is_triangle.append(True)

    def floor(self, rect: Rect, z: float, *, style: int) -> None:
        """A horizontal rectangle that faces up."""
        width, depth = rect.size
        self.parallelogram((rect.x0, rect.y0, z), (width, 0, 0), (0, depth, 0), style=style)

    def ceiling(self, rect: Rect, z: float, *, style: int) -> None:
        """A horizontal rectangle that faces down."""
        width, depth = rect.size
        self.parallelogram((rect.x0, rect.y0, z), (0, depth, 0), (width, 0, 0), style=style)

    def walls(
        self, rect: Rect, z0: float, z1: float, *, style: int, own_styles: Mapping[Side, int] | None = None
    ) -> None:
        """Four walls that face outwards, inwards when x0 > x1. Sides may have styles of their own."""
        for side in Side:
            edge = rect.edge(side)
            own = (own_styles or {}).get(side, style)
            self.parallelogram((*edge.start, z0), edge.span, (0.0, 0.0, z1 - z0), style=own)

    def box(self, rect: Rect, z0: float, z1: float, *, style: int, top_style: int | None = None) -> None:
        """A box without a bottom."""
        self.walls(rect, z0, z1, style=style)
        self.floor(rect, z1, style=style if top_style is None else top_style)

    def slab(self, rect: Rect, z0: float, z1: float, *, style: int) -> None:
        """A box with a bottom, for things that hang in the air."""
        self.box(rect, z0, z1, style=style)
        self.ceiling(rect, z0, style=style)

    def ring(self, rect: Rect, thickness: float, z0: float, *, z1: float, style: int) -> None:
        """A rectangular frame, such as a parapet or a cornice: outer and inner walls, top and underside."""
        inner = rect.inset(thickness)
        self.walls(rect, z0, z1, style=style)
        self.walls(Rect(inner.x1, inner.y0, inner.x0, inner.y1), z0, z1, style=style)
        for strip in rect.around(inner):
            self.floor(strip, z1, style=style)
            self.ceiling(strip, z0, style=style)

    def cylinder(
        self, center: Vector, radius: float, height: float, *, sides: int, style: int, cone: float = 0.0
    ) -> None:
        """An upright prism on `center`; its lid rises to a cone of height `cone` (0: flat)."""
        x, y, z = center
        angles = 2 * math.pi * np.arange(sides + 1) / sides
        ring = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
        tip = (x, y, z + height + cone)
        for (ax, ay), (bx, by) in pairwise(ring):
            self.parallelogram((ax, ay, z), (bx - ax, by - ay, 0), (0, 0, height), style=style)
            self.triangle((ax, ay, z + height), (bx, by, z + height), tip, style=style)

    def extrusion(
        self, profile: Sequence[tuple[float, float]], offset: Vector, *, along: Vector, styles: Sequence[int]
    ) -> None:
        """A convex profile of (distance, height) points, counter-clockwise, swept sideways by `along`.

        Distances run along `along` turned clockwise by a right angle. `styles`: one for every edge of the
        profile, and a last one for both ends.
        """
        length = math.hypot(along[0], along[1])
        forward = (along[1] / length, -along[0] / length)
        points = [(offset[0] + d * forward[0], offset[1] + d * forward[1], offset[2] + h) for d, h in profile]
        far = [tuple(p[k] + along[k] for k in range(3)) for p in points]
        for start, end, style in zip(points, points[1:] + points[:1], styles[:-1], strict=True):
            self.parallelogram(start, along, [end[k] - start[k] for k in range(3)], style=style)
        for index in range(1, len(points) - 1):
            self.triangle(points[0], points[index], points[index + 1], style=styles[-1])
            self.triangle(far[0], far[index + 1], far[index], style=styles[-1])

    def blob(self, center: Vector, radii: Vector, rng: np.random.Generator, *, style: int) -> None:
        """An irregular, rounded lump: an icosphere with its vertices pushed in and out by up to 18 %."""
        directions, faces = _icosphere()
        swell = rng.uniform(0.82, 1.18, size=(len(directions), 1))
        vertices = (np.asarray(center) + directions * swell * np.asarray(radii)).tolist()
        for a, b, c in faces:
            self.triangle(vertices[a], vertices[b], vertices[c], style=style, center=center)

    def build(self) -> Mesh:
        """The patches so far as a Mesh."""
        numbers = np.array(self._numbers).reshape(-1, 12)
        return Mesh(
            corner=numbers[:, 0:3],
            edge_u=numbers[:, 3:6],
            edge_v=numbers[:, 6:9],
            is_triangle=np.array(self._is_triangle, dtype=np.bool_),
            style=np.array(self._styles, dtype=np.int32),
            center=numbers[:, 9:12],
        )


@cache
def _icosphere() -> tuple[FloatArray, list[list[int]]]:
    """Vertices [42, 3] on the unit sphere and 80 triangles."""
    sphere = trimesh.creation.icosphere(subdivisions=1)
    return np.asarray(sphere.vertices), sphere.faces.tolist()
