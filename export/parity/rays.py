"""Which rays are asked: those of held-out views, and rays made to break a render graph."""

import math
from dataclasses import replace

import numpy as np

from neurocity.cameras import Camera, Rays
from neurocity.contract import View

PRIME = 1009
"""A number of rays that no tile, vector width or chunk divides."""
SCALES = (2, 4, 8)
"""How many times smaller views are rendered, beside their own size, by graphs that take radii."""
_RADII = (0.0, 1e-6, 1e-3, 0.3)
"""Radii of adversarial rays: none given, next to none, about a pixel's, and a third of the distance."""


def view_rays(view: View, *, radii: bool = False) -> Rays:
    """Every pixel's ray of a held-out view, row by row, with the radii of its cones if asked for."""
    return Camera.from_view(view).rays(radii=radii)


def scaled_view(view: View, scale: int) -> View:
    """The view in a picture that is `scale` times smaller."""
    width, height = (max(side // scale, 1) for side in (view.width, view.height))
    return Camera.from_view(view).resized(width, height).to_view(f"{view.name} at 1/{scale}")


def adversarial_rays(bounds: tuple[float, ...], *, radii: bool = False) -> dict[str, Rays]:
    """Named sets of rays at which slab tests, marches and packings go wrong; the same for equal bounds.

    radii: whether the rays have radii: of every kind, in equal parts, spread over each set.
    """
    generator = np.random.default_rng(0)
    low, high = np.asarray(bounds[:3]), np.asarray(bounds[3:])
    centre, half = (low + high) / 2, (high - low) / 2
    diagonal = 2 * math.hypot(*half)
    sphere = _unit(generator.normal(size=(128, 3)))
    inside = centre + half * generator.uniform(-0.98, 0.98, size=(128, 3))
    outside = centre + diagonal * sphere
    sets = {
        "miss the box": _rays(outside, sphere),
        "aim at the box": _rays(outside, inside - outside),
        "from afar": _rays(centre + 50 * diagonal * sphere, inside - centre - 50 * diagonal * sphere),
        "start inside": _rays(np.concatenate([inside, centre[None]]), np.concatenate([sphere, sphere[:1]])),
        "start on a face": _on_faces(centre, half, generator),
        "graze a face": _grazing(centre, half),
        "zero direction component": _with_zero_component(inside, sphere, diagonal),
        "along an axis": _along_axes(inside, centre, half),
    }
    return {name: _with_radii(rays) for name, rays in sets.items()} if radii else sets


def counted_rays(pool: Rays, counts: tuple[int, ...]) -> dict[str, Rays]:
    """Sets of exactly `counts` rays of a view: from its middle, in even steps, from its end to its start."""
    size = len(pool)
    middle = (size + math.isqrt(size)) // 2
    return {
        f"{count} ray{'s' if count > 1 else ''}": pool[
            (middle + np.arange(count) * max(size // count, 1)) % size
        ]
        for count in counts
    }


def _with_radii(rays: Rays) -> Rays:
    values = np.resize(np.array(_RADII, dtype=np.float32), (len(rays), 1))
    return replace(rays, radii=np.random.default_rng(0).permutation(values))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _rays(origins: np.ndarray, directions: np.ndarray) -> Rays:
    return Rays(
        np.ascontiguousarray(origins, dtype=np.float32),
        np.ascontiguousarray(_unit(directions), dtype=np.float32),
    )


def _on_faces(centre: np.ndarray, half: np.ndarray, generator: np.random.Generator) -> Rays:
    """From points on the six faces, half of them inwards and half outwards."""
    points = generator.uniform(-0.9, 0.9, size=(96, 3))
    axis, sign = np.arange(96) % 3, np.where(np.arange(96) % 2, 1.0, -1.0)
    points[np.arange(96), axis] = sign
    directions = _unit(generator.normal(size=(96, 3)))
    return _rays(centre + half * points, directions)


def _grazing(centre: np.ndarray, half: np.ndarray) -> Rays:
    """In the planes of the faces, along edges and through corners, exactly and a millionth beside them."""
    origins, directions = [], []
    for axis in range(3):
        across = (axis + 1) % 3
        for sign in (-1.0, 1.0):
            for offset in (1.0, 1.0 - 1e-6, 1.0 + 1e-6):
                for side in (0.0, 1.0):
                    point = np.zeros(3)
                    point[axis] = sign * offset
                    point[(axis + 2) % 3] = side
                    point[across] = -2.0
                    origins.append(point)
                    directions.append(np.eye(3)[across])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    tangents = np.cross(corners, [[0.3, 0.5, 0.8]])
    origins += list(corners - 2 * tangents)
    directions += list(tangents)
    return _rays(centre + half * np.array(origins), half * np.array(directions))


def _with_zero_component(inside: np.ndarray, sphere: np.ndarray, diagonal: float) -> Rays:
    """Through the box with one direction component exactly 0.0 or -0.0."""
    directions = sphere.copy()
    index = np.arange(len(directions))
    directions[index, index % 3] = np.where(index % 2, 0.0, -0.0)
    directions = _unit(directions)
    return _rays(inside - diagonal * directions, directions)


def _along_axes(inside: np.ndarray, centre: np.ndarray, half: np.ndarray) -> Rays:
    """Both ways along each axis, two components zero: from outside, from inside, and in the box's planes."""
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    index = np.arange(len(inside)) % 6
    through = inside - 3 * half * directions[index]
    planes = centre - half
    return _rays(
        np.concatenate([through, inside, np.repeat(planes[None], 6, axis=0)]),
        np.concatenate([directions[index], directions[index], directions]),
    )
