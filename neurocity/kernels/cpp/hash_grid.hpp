// The encoding of `rendering.hash_grid`, for a block of points at a time.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "table_rows.hpp"

namespace neurocity {

// T: float or Half, of the table [levels, rows, F]; `rows` is a power of two.
template <typename T, int F>
struct HashGrid {
  static constexpr int BLOCK = 16;  // points whose corners are found together

  const T* table;
  const float* scales;     // [levels]
  const int32_t* factors;  // [3, levels]
  int64_t levels, rows, dense_levels;
  bool is_xor;

  // The rows of the cells' corners in their level, and their shares of the value.
  struct Corners {
    uint32_t row[8][BLOCK];
    float share[8][BLOCK];
  };

  // points: x, y, z of BLOCK points in [0, 1]^3.
  void find_corners(int64_t level, const float* const points[3], Corners& corners) const {
    const uint32_t mask = static_cast<uint32_t>(rows - 1);
    uint32_t term[3][2][BLOCK];
    float weight[3][2][BLOCK];
    for (int axis = 0; axis < 3; ++axis) {
      const uint32_t factor = static_cast<uint32_t>(factors[axis * levels + level]);
      const float scale = scales[level];
      for (int n = 0; n < BLOCK; ++n) {
        const float place = points[axis][n] * scale + 0.5f;
        const float base = std::floor(place);
        // What is no number, or far outside, is taken for 0.
        const float vertex = std::abs(base) < 1e9f ? base : 0.0f;
        term[axis][0][n] = static_cast<uint32_t>(static_cast<int32_t>(vertex)) * factor;
        term[axis][1][n] = term[axis][0][n] + factor;
        weight[axis][1][n] = place - base;
        weight[axis][0][n] = 1.0f - weight[axis][1][n];
      }
    }
    const bool mixes = is_xor && level >= dense_levels;
    for (int corner = 0; corner < 8; ++corner) {
      const int bx = corner & 1, by = corner >> 1 & 1, bz = corner >> 2;
      for (int n = 0; n < BLOCK; ++n)
        corners.share[corner][n] = weight[0][bx][n] * weight[1][by][n] * weight[2][bz][n];
      if (mixes)
        for (int n = 0; n < BLOCK; ++n)
          corners.row[corner][n] = (term[0][bx][n] ^ term[1][by][n] ^ term[2][bz][n]) & mask;
      else
        for (int n = 0; n < BLOCK; ++n)
          corners.row[corner][n] = (term[0][bx][n] + term[1][by][n] + term[2][bz][n]) & mask;
    }
  }

  // Writes the levels * F features of the first `count` of BLOCK points, `stride` floats from one to the
  // next.
  void encode(const float* const points[3], int count, float* features, int64_t stride) const {
    for (int64_t level = 0; level < levels; ++level)
      encode_level(level, points, count, features + level * F, stride);
  }

  // Writes the F features of a level.
  void encode_level(int64_t level, const float* const points[3], int count, float* features,
                    int64_t stride) const {
    Corners corners;
    find_corners(level, points, corners);
    const T* const rows_of_level = table + level * rows * F;
    for (int n = 0; n < count; ++n) {
      Lanes<F> sum(0.0f);
      for (int corner = 0; corner < 8; ++corner) {
        const T* const row = rows_of_level + static_cast<size_t>(corners.row[corner][n]) * F;
        sum = fused(load_row<F>(row), Lanes<F>(corners.share[corner][n]), sum);
      }
      sum.store(features + n * stride);
    }
  }
};

}  // namespace neurocity
