"""Parts of the compiled training pass: density and colour of a voxel, in the arithmetic of `shading`."""

import numba
import numpy as np


@numba.njit(nogil=True, error_model="numpy")
def explin(raw):  # type: ignore[no-untyped-def]
    """`shading.explin` of one value."""
    limit = np.float32(1.1)
    return raw if raw > limit else np.exp(raw / limit - np.float32(0.904689820196))


@numba.njit(nogil=True, error_model="numpy")
def interpolate(density, points, x, y, z):  # type: ignore[no-untyped-def]
    """`shading.interpolate` of one voxel with corners `points` [8], at a place that is clamped to it."""
    zero, one = np.float32(0.0), np.float32(1.0)
    x, y, z = min(max(x, zero), one), min(max(y, zero), one), min(max(z, zero), one)
    d0, d1, d2, d3 = density[points[0]], density[points[1]], density[points[2]], density[points[3]]
    d4, d5, d6, d7 = density[points[4]], density[points[5]], density[points[6]], density[points[7]]
    d0, d1, d2, d3 = d0 + x * (d4 - d0), d1 + x * (d5 - d1), d2 + x * (d6 - d2), d3 + x * (d7 - d3)
    d0, d1 = d0 + y * (d2 - d0), d1 + y * (d3 - d1)
    return d0 + z * (d1 - d0)


@numba.njit(nogil=True, error_model="numpy")
def fill_basis(x, y, z, count, basis):  # type: ignore[no-untyped-def]
    """The first `count` values after the constant of `spherical_harmonics`, along (x, y, z) of any length."""
    norm = max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
    x, y, z = x / norm, y / norm, z / norm
    xx, yy, zz = x * x, y * y, z * z
    one, three, five = np.float32(1.0), np.float32(3.0), np.float32(5.0)
    if count >= 3:
        basis[0] = np.float32(-0.4886025119029199) * y
        basis[1] = np.float32(0.4886025119029199) * z
        basis[2] = np.float32(-0.4886025119029199) * x
    if count >= 8:
        basis[3] = np.float32(1.0925484305920792) * x * y
        basis[4] = np.float32(-1.0925484305920792) * y * z
        basis[5] = np.float32(0.31539156525252005) * (three * zz - one)
        basis[6] = np.float32(-1.0925484305920792) * x * z
        basis[7] = np.float32(0.5462742152960396) * (xx - yy)
    if count >= 15:
        basis[8] = np.float32(-0.5900435899266435) * y * (three * xx - yy)
        basis[9] = np.float32(2.890611442640554) * x * y * z
        basis[10] = np.float32(-0.4570457994644658) * y * (five * zz - one)
        basis[11] = np.float32(0.3731763325901154) * z * (five * zz - three)
        basis[12] = np.float32(-0.4570457994644658) * x * (five * zz - one)
        basis[13] = np.float32(1.445305721320277) * z * (xx - yy)
        basis[14] = np.float32(-0.5900435899266435) * x * (xx - three * yy)
