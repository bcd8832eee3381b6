// The positional encoding of `grid_nerf.nerf_branch`: sines and cosines of 2^k pi x.

#pragma once

#include "lanes.hpp"

namespace neurocity {

// Sine and cosine of `turns` whole turns.
template <int N>
void sine_and_cosine(Lanes<N> turns, Lanes<N>& sine, Lanes<N>& cosine) {
  const Lanes<N> quarters = floor(fused(turns, Lanes<N>(4.0f), Lanes<N>(0.5f)));
  const Lanes<N> angle = fused(quarters, Lanes<N>(-0.25f), turns) * 6.283185307179586f;
  const Lanes<N> square = angle * angle;
  // Cephes' sinf and cosf: coefficients of minimax polynomials on [-pi / 4, pi / 4].
  Lanes<N> s = fused(Lanes<N>(-1.9515295891e-4f), square, Lanes<N>(8.3321608736e-3f));
  s = fused(s, square, Lanes<N>(-1.6666654611e-1f));
  s = fused(s * square, angle, angle);
  Lanes<N> c = fused(Lanes<N>(2.443315711809948e-5f), square, Lanes<N>(-1.388731625493765e-3f));
  c = fused(c, square, Lanes<N>(4.166664568298827e-2f));
  c = fused(c * square, square, fused(Lanes<N>(-0.5f), square, Lanes<N>(1.0f)));
  // Which of four quarters it is, 0 to 3.
  const Lanes<N> quarter = quarters - floor(quarters * 0.25f) * 4.0f;
  const Mask<N> is_odd = (quarter == Lanes<N>(1.0f)) | (quarter == Lanes<N>(3.0f));
  const Lanes<N> a = select(is_odd, c, s), b = select(is_odd, s, c);
  sine = select(quarter >= Lanes<N>(2.0f), -a, a);
  cosine = select((quarter == Lanes<N>(1.0f)) | (quarter == Lanes<N>(2.0f)), -b, b);
}

// Writes the 6 * frequencies features of points in [0, 1]^3, from which `stride` floats lead to the next's:
// sines of x by frequency, of y, of z, then cosines. points: x, y, z of N, of which `count` are wanted.
template <int N>
void encode_positions(const float* const points[3], int count, int frequencies, float* features, int stride) {
  for (int axis = 0; axis < 3; ++axis) {
    Lanes<N> turns = (Lanes<N>::load(points[axis]) * 2.0f - 1.0f) * 0.5f;
    for (int k = 0; k < frequencies; ++k, turns = turns * 2.0f) {
      // Whole turns are taken off exactly.
      Lanes<N> sine, cosine;
      sine_and_cosine(turns - floor(turns), sine, cosine);
      float* out = features + axis * frequencies + k;
      for (int lane = 0; lane < count; ++lane, out += stride) {
        out[0] = sine[lane];
        out[3 * frequencies] = cosine[lane];
      }
    }
  }
}

}  // namespace neurocity
