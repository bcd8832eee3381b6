// The encoding of `rendering.hash_grid`, point after point.

#pragma once

#include <cmath>
#include <cstdint>

#include "tensors.hpp"

namespace neurocity {

// T: float or Half, of the table [levels, rows, F].
template <typename T, int F>
struct HashGrid {
  const T* table;
  const float* scales;
  const int64_t* factors;  // [3, levels]
  int64_t levels, rows, dense_levels;
  bool is_xor;

  // Writes the levels * F features of a point in [0, 1]^3.
  void encode(const float* point, float* features) const {
    const uint32_t mask = static_cast<uint32_t>(rows - 1);
    for (int64_t level = 0; level < levels; ++level) {
      uint32_t term[3][2];
      float weight[3][2];
      for (int axis = 0; axis < 3; ++axis) {
        const float place = point[axis] * scales[level] + 0.5f;
        const float base = std::floor(place);
        const uint32_t vertex = std::abs(base) < 1e9f ? static_cast<uint32_t>(static_cast<int32_t>(base)) : 0;
        const uint32_t factor = static_cast<uint32_t>(factors[axis * levels + level]);
        term[axis][0] = vertex * factor;
        term[axis][1] = term[axis][0] + factor;
        weight[axis][1] = place - base;
        weight[axis][0] = 1.0f - weight[axis][1];
      }
      const bool mixes = is_xor && level >= dense_levels;
      const T* const rows_of_level = table + level * rows * F;
      float sum[F] = {};
      for (int corner = 0; corner < 8; ++corner) {
        const int bx = corner & 1, by = corner >> 1 & 1, bz = corner >> 2;
        const uint32_t x = term[0][bx], y = term[1][by], z = term[2][bz];
        const T* const row = rows_of_level + static_cast<size_t>((mixes ? x ^ y ^ z : x + y + z) & mask) * F;
        const float share = weight[0][bx] * weight[1][by] * weight[2][bz];
        for (int f = 0; f < F; ++f) sum[f] += static_cast<float>(row[f]) * share;
      }
      for (int f = 0; f < F; ++f) features[level * F + f] = sum[f];
    }
  }
};

}  // namespace neurocity
