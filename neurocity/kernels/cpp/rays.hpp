// Rays as kernels of pictures take them, in packets of neighbours, and the light that they bring back.

#pragma once

#include <algorithm>
#include <cstdint>

#include "lanes.hpp"

namespace neurocity {

// `count` rays [count, 3]. width: pixels in a row where they are those of an image, row after row, else 0.
struct Rays {
  const float *origins, *directions;
  int64_t count, width;
};

// rgb [count, 3], depth [count], opacity [count].
struct Light {
  float *rgb, *depth, *opacity;
};

// N rays of neighbouring pixels. Behind `count` rays, the last one is repeated.
template <int N>
struct Packet {
  int count;
  int64_t ray[N];

  // The same component of all rays.
  Lanes<N> component(const float* vectors, int axis) const {
    Lanes<N> result;
    for (int lane = 0; lane < N; ++lane) result.set(lane, vectors[ray[lane] * 3 + axis]);
    return result;
  }

  // The number that each ray has.
  Lanes<N> numbers(const float* values) const {
    Lanes<N> result;
    for (int lane = 0; lane < N; ++lane) result.set(lane, values[ray[lane]]);
    return result;
  }

  // Whether all rays begin at one place, as those of a camera do.
  bool shares_origin(const float* origins) const {
    const float* const first = origins + ray[0] * 3;
    for (int lane = 1; lane < count; ++lane)
      for (int axis = 0; axis < 3; ++axis)
        if (origins[ray[lane] * 3 + axis] != first[axis]) return false;
    return true;
  }
};

constexpr int PART_SIDE = 32;  // pixels along a part's side
constexpr int PART_RAYS = PART_SIDE * PART_SIDE;

inline bool is_image(const Rays& rays) { return rays.width > 0 && rays.count % rays.width == 0; }

// The number of parts that rays are shared out in: squares of an image, else runs of rays.
inline int64_t ray_parts(const Rays& rays) {
  if (!is_image(rays)) return (rays.count + PART_RAYS - 1) / PART_RAYS;
  const int64_t height = rays.count / rays.width;
  return ((rays.width + PART_SIDE - 1) / PART_SIDE) * ((height + PART_SIDE - 1) / PART_SIDE);
}

// Calls task(packet) for the packets of a part. A packet of an image is as square as can be.
template <int N, typename Task>
void for_each_packet(const Rays& rays, int64_t part, Task task) {
  Packet<N> packet;
  const auto finish = [&] {
    for (int lane = packet.count; lane < N; ++lane) packet.ray[lane] = packet.ray[packet.count - 1];
    task(packet);
  };
  if (!is_image(rays)) {
    const int64_t begin = part * PART_RAYS, end = std::min(begin + PART_RAYS, rays.count);
    for (int64_t ray = begin; ray < end; ray += N) {
      packet.count = static_cast<int>(std::min<int64_t>(N, end - ray));
      for (int lane = 0; lane < packet.count; ++lane) packet.ray[lane] = ray + lane;
      finish();
    }
    return;
  }
  constexpr int COLUMNS = N >= 8 ? 4 : N >= 4 ? 2 : 1, ROWS = N / COLUMNS;
  const int64_t height = rays.count / rays.width, across = (rays.width + PART_SIDE - 1) / PART_SIDE;
  const int64_t top = part / across * PART_SIDE, left = part % across * PART_SIDE;
  const int64_t bottom = std::min<int64_t>(top + PART_SIDE, height);
  const int64_t right = std::min<int64_t>(left + PART_SIDE, rays.width);
  for (int64_t row = top; row < bottom; row += ROWS)
    for (int64_t column = left; column < right; column += COLUMNS) {
      packet.count = 0;
      for (int64_t y = row; y < std::min<int64_t>(row + ROWS, bottom); ++y)
        for (int64_t x = column; x < std::min<int64_t>(column + COLUMNS, right); ++x)
          packet.ray[packet.count++] = y * rays.width + x;
      finish();
    }
}

}  // namespace neurocity
