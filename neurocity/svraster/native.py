"""The operator of SVRaster's compiled packages: rays from octree to light; see `render_voxels.cpp`."""

from pathlib import Path

from neurocity.rendering.native_kernel import native_kernel

render_voxels = native_kernel(
    "render_voxels(Tensor origins, Tensor speeds, Tensor inverses, Tensor children, Tensor voxel_points, "
    "Tensor density, Tensor sh0, Tensor shs, int samples, float near, float density_scale, "
    "float brightest, float least_light, float faintest) -> Tensor",
    Path(__file__).with_name("render_voxels.cpp"),
)
"""Sums [5, R] of `shading.summed_light` of rays [3, R] in the octree's unit cube.

origins, speeds, inverses [3, R]: the cube's units, and their inverse, per world unit. children, voxel_points,
density, sh0, shs: as in `SVRaster`; sh0 and shs are float32 or float16. samples: of a voxel.
"""
