// Real spherical harmonics of unit directions, as `rendering.spherical_harmonics` orders and signs them.

#pragma once

#include "lanes.hpp"

namespace neurocity {

constexpr int MAX_HARMONICS = 16;
constexpr float FIRST_HARMONIC = 0.28209479177387814f;

// Writes the first `count` values, 1, 4, 9 or 16, of directions (x, y, z) into `basis`.
template <int N>
void spherical_harmonics(Lanes<N> x, Lanes<N> y, Lanes<N> z, int count, Lanes<N>* basis) {
  basis[0] = FIRST_HARMONIC;
  if (count < 4) return;
  basis[1] = -0.4886025119029199f * y;
  basis[2] = 0.4886025119029199f * z;
  basis[3] = -0.4886025119029199f * x;
  if (count < 9) return;
  const Lanes<N> xx = x * x, yy = y * y, zz = z * z;
  basis[4] = 1.0925484305920792f * x * y;
  basis[5] = -1.0925484305920792f * y * z;
  basis[6] = 0.31539156525252005f * (3.0f * zz - 1.0f);
  basis[7] = -1.0925484305920792f * x * z;
  basis[8] = 0.5462742152960396f * (xx - yy);
  if (count < 16) return;
  basis[9] = -0.5900435899266435f * y * (3.0f * xx - yy);
  basis[10] = 2.890611442640554f * x * y * z;
  basis[11] = -0.4570457994644658f * y * (5.0f * zz - 1.0f);
  basis[12] = 0.3731763325901154f * z * (5.0f * zz - 3.0f);
  basis[13] = -0.4570457994644658f * x * (5.0f * zz - 1.0f);
  basis[14] = 1.445305721320277f * z * (xx - yy);
  basis[15] = -0.5900435899266435f * x * (xx - 3.0f * yy);
}

}  // namespace neurocity
