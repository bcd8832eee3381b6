"""First hits and occlusion of rays in a Mesh, by Embree."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from neurocity.data.city.mesh import Mesh

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.floating]


class Hits(NamedTuple):
    """First hits of R rays. patch: [R] int64, -1 for a miss. u, v: [R] position on the patch.

    distance: [R] float64 along the ray, inf for a miss.
    """

    patch: npt.NDArray[np.int64]
    u: Floats
    v: Floats
    distance: npt.NDArray[np.float64]


class RayCaster:
    """A mesh, ready to be hit."""

    def __init__(self, mesh: Mesh) -> None:
        vertices, self._patch_of_triangle = mesh.triangles()
        self._corner = mesh.corner
        self._normals = mesh.normals
        self._scene = EmbreeScene()
        # The scene reads the geometry through this object: it must live as long as the scene.
        self._geometry = TriangleMesh(self._scene, np.ascontiguousarray(vertices, dtype=np.float32))

    def first_hits(self, ray_origins: Points, ray_directions: Points) -> Hits:
        """Origins and unit directions, both [R, 3]. Distances are exact: from the plane that was hit."""
        raw = self._run(ray_origins, ray_directions, output=True)
        hit = raw["primID"] >= 0
        triangle = np.where(hit, raw["primID"], 0)
        patch = self._patch_of_triangle[triangle]
        opposite = triangle >= len(self._corner)
        u = np.where(opposite, 1 - raw["u"], raw["u"])
        v = np.where(opposite, 1 - raw["v"], raw["v"])
        normal = self._normals[patch]
        approach = np.einsum("rk,rk->r", normal, ray_directions, dtype=np.float64)
        offset = np.einsum("rk,rk->r", normal, self._corner[patch] - ray_origins, dtype=np.float64)
        distance = np.full(len(hit), np.inf)
        np.divide(offset, approach, out=distance, where=hit)
        return Hits(np.where(hit, patch, -1), u, v, distance)

    def occluded(self, ray_origins: Points, ray_directions: Points) -> npt.NDArray[np.bool_]:
        """[R]: whether anything lies on the ray, at any distance."""
        return np.asarray(self._run(ray_origins, ray_directions, query="OCCLUDED") >= 0)

    def _run(self, *rays: Points, **options: Any) -> Any:
        return self._scene.run(*(np.ascontiguousarray(part, dtype=np.float32) for part in rays), **options)
