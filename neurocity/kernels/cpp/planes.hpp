// The features of `grid_nerf.planes`, for a block of points at a time: products of planes and lines.

#pragma once

#include <algorithm>
#include <cstdint>

#include "table_rows.hpp"

namespace neurocity {

// T: float or Half, of the tables [rows, components]. C: their components, a power of two, or 0 where the
// field `components` says how many there are.
template <typename T, int C>
struct PlaneLines {
  static constexpr int BLOCK = 16;  // points whose cells are found together

  const T *planes, *lines;
  const int32_t *axes, *sizes, *starts;  // [parts, 3], [parts, 3], [parts, 2]
  int64_t parts, components;

  // The first rows that points read of a part: of a plane also the next one, and both `size_u` further on.
  struct Cells {
    int32_t plane[BLOCK], line[BLOCK];
    float u[BLOCK], v[BLOCK], w[BLOCK];  // fractions of a cell
  };

  int64_t width() const { return C ? C : components; }

  // points: x, y, z of BLOCK points in [0, 1]^3, along the box.
  void find_cells(int64_t part, const float* const points[3], Cells& cells) const {
    const int32_t *const axis = axes + 3 * part, *const size = sizes + 3 * part;
    int32_t u[BLOCK], v[BLOCK];
    find_cell(points[axis[0]], size[0], u, cells.u);
    find_cell(points[axis[1]], size[1], v, cells.v);
    find_cell(points[axis[2]], size[2], cells.line, cells.w);
    for (int n = 0; n < BLOCK; ++n) {
      cells.plane[n] = starts[2 * part] + v[n] * size[0] + u[n];
      cells.line[n] += starts[2 * part + 1];
    }
  }

  // Writes the parts * components features of the first `count` of BLOCK points, `stride` floats from one to
  // the next.
  void encode(const float* const points[3], int count, float* features, int64_t stride) const {
    Cells cells;
    for (int64_t part = 0; part < parts; ++part) {
      find_cells(part, points, cells);
      const int64_t next_v = sizes[3 * part] * width();
      for (int n = 0; n < count; ++n) {
        const float u = cells.u[n], v = cells.v[n], w = cells.w[n];
        const float plane_shares[4] = {(1.0f - u) * (1.0f - v), u * (1.0f - v), (1.0f - u) * v, u * v};
        const T* const plane = planes + cells.plane[n] * width();
        const T* const line = lines + cells.line[n] * width();
        float* const out = features + n * stride + part * width();
        if constexpr (C > 0) {
          interpolate<C>(plane, next_v, line, plane_shares, w, out);
        } else {
          for (int64_t c = 0; c < components; ++c)
            interpolate<1>(plane + c, next_v, line + c, plane_shares, w, out + c);
        }
      }
    }
  }

 private:
  // NaN is taken for 0, so that no point reads outside of the tables.
  static void find_cell(const float* coordinates, int32_t size, int32_t* lower, float* fraction) {
    const float last = static_cast<float>(size - 2);
    for (int n = 0; n < BLOCK; ++n) {
      const float position = coordinates[n] * static_cast<float>(size - 1);
      const float within = position > 0.0f ? std::min(position, last) : 0.0f;
      lower[n] = static_cast<int32_t>(within);
      fraction[n] = position - static_cast<float>(lower[n]);
    }
  }

  template <int N>
  void interpolate(const T* plane, int64_t next_v, const T* line, const float* plane_shares, float w,
                   float* out) const {
    Lanes<N> on_plane = load_row<N>(plane) * Lanes<N>(plane_shares[0]);
    on_plane = fused(load_row<N>(plane + width()), Lanes<N>(plane_shares[1]), on_plane);
    on_plane = fused(load_row<N>(plane + next_v), Lanes<N>(plane_shares[2]), on_plane);
    on_plane = fused(load_row<N>(plane + next_v + width()), Lanes<N>(plane_shares[3]), on_plane);
    const Lanes<N> on_line =
        fused(load_row<N>(line + width()), Lanes<N>(w), load_row<N>(line) * Lanes<N>(1.0f - w));
    (on_plane * on_line).store(out);
  }
};

}  // namespace neurocity
