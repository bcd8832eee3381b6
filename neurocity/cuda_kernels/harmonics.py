"""Colours by real spherical harmonics, with the basis of `rendering.spherical_harmonics`."""

import triton
import triton.language as tl

from neurocity.cuda_kernels.block import filled


@triton.jit
def add_harmonic(red, green, blue, coefficients, mask, value):
    """The colour with one more basis function's; its three coefficients are at the pointers."""
    red += tl.load(coefficients, mask=mask, other=0.0).to(tl.float32) * value
    green += tl.load(coefficients + 1, mask=mask, other=0.0).to(tl.float32) * value
    blue += tl.load(coefficients + 2, mask=mask, other=0.0).to(tl.float32) * value
    return red, green, blue


@triton.jit
def color_of(sh0, shs, voxel, mask, x, y, z, BASIS: tl.constexpr):
    """Colours of voxels seen along (x, y, z), of any length; they are not clamped.

    BASIS: how many functions there are besides the constant.
    """
    norm = tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-12)
    x, y, z = x / norm, y / norm, z / norm
    xx, yy, zz = x * x, y * y, z * z
    grey = filled(0.5, x)
    r, g, b = add_harmonic(grey, grey, grey, sh0 + voxel * 3, mask, 0.28209479177387814)
    more = shs + voxel * (3 * BASIS)
    if BASIS > 0:
        r, g, b = add_harmonic(r, g, b, more, mask, -0.4886025119029199 * y)
        r, g, b = add_harmonic(r, g, b, more + 3, mask, 0.4886025119029199 * z)
        r, g, b = add_harmonic(r, g, b, more + 6, mask, -0.4886025119029199 * x)
    if BASIS > 3:
        r, g, b = add_harmonic(r, g, b, more + 9, mask, 1.0925484305920792 * x * y)
        r, g, b = add_harmonic(r, g, b, more + 12, mask, -1.0925484305920792 * y * z)
        r, g, b = add_harmonic(r, g, b, more + 15, mask, 0.31539156525252005 * (3.0 * zz - 1.0))
        r, g, b = add_harmonic(r, g, b, more + 18, mask, -1.0925484305920792 * x * z)
        r, g, b = add_harmonic(r, g, b, more + 21, mask, 0.5462742152960396 * (xx - yy))
    if BASIS > 8:
        r, g, b = add_harmonic(r, g, b, more + 24, mask, -0.5900435899266435 * y * (3.0 * xx - yy))
        r, g, b = add_harmonic(r, g, b, more + 27, mask, 2.890611442640554 * x * y * z)
        r, g, b = add_harmonic(r, g, b, more + 30, mask, -0.4570457994644658 * y * (5.0 * zz - 1.0))
        r, g, b = add_harmonic(r, g, b, more + 33, mask, 0.3731763325901154 * z * (5.0 * zz - 3.0))
        r, g, b = add_harmonic(r, g, b, more + 36, mask, -0.4570457994644658 * x * (5.0 * zz - 1.0))
        r, g, b = add_harmonic(r, g, b, more + 39, mask, 1.445305721320277 * z * (xx - yy))
        r, g, b = add_harmonic(r, g, b, more + 42, mask, -0.5900435899266435 * x * (xx - 3.0 * yy))
    return r, g, b
