// The march of `rendering.marching`, as in `marching_kernels`: the occupied lattice points of a ray in turn.

#pragma once

#include <algorithm>
#include <cmath>

#include "tensors.hpp"

namespace neurocity {

// A point in the field's unit cube, its depth in world units, and its interval's width as the field sees it.
struct Sample {
  float point[3];
  float t, delta;
};

// Where the march of a ray goes on; `index` is the next lattice point.
struct RayMarch {
  float origin[3], direction[3];
  float start, count, speed;
  float index = 0.0f;
};

struct Marcher {
  View<float> origins, directions, starts, counts;
  const float *jump, *edges, *low, *center;
  int64_t last_edge, grid;
  bool unbounded;
  float step, side, near, growth;

  int64_t rays() const { return starts.sizes[0]; }

  RayMarch ray(int64_t r) const {
    RayMarch ray;
    for (int axis = 0; axis < 3; ++axis) {
      ray.origin[axis] = origins(axis, r);
      ray.direction[axis] = directions(axis, r);
    }
    ray.start = starts(r, 0);
    ray.count = counts(r, 0);
    ray.speed =
        std::max({std::abs(ray.direction[0]), std::abs(ray.direction[1]), std::abs(ray.direction[2])});
    return ray;
  }

  // Goes to the next sample, if there is one, and past it.
  bool next(RayMarch& ray, Sample& sample) const {
    return unbounded ? next<true>(ray, sample) : next<false>(ray, sample);
  }

 private:
  template <bool UNBOUNDED>
  bool next(RayMarch& ray, Sample& sample) const {
    const float cells = static_cast<float>(grid), last = cells - 1.0f;
    while (ray.index < ray.count) {
      float t, delta = step, norm = 1.0f, factor = 1.0f;
      if (UNBOUNDED) {
        const int64_t cell = std::min(static_cast<int64_t>(ray.index), last_edge - 1);
        delta = edges[cell + 1] - edges[cell];
        t = edges[cell] + 0.5f * delta;
      } else {
        t = ray.start + (ray.index + 0.5f) * step;
      }
      float world[3];
      for (int axis = 0; axis < 3; ++axis) world[axis] = ray.origin[axis] + ray.direction[axis] * t;
      if (UNBOUNDED) {
        for (int axis = 0; axis < 3; ++axis) world[axis] = (world[axis] - center[axis]) / (side / 2.0f);
        norm = std::max({std::abs(world[0]), std::abs(world[1]), std::abs(world[2])});
        const float outer = std::max(norm, 1.0f);
        factor = (2.0f - 1.0f / outer) / outer;
        for (int axis = 0; axis < 3; ++axis) sample.point[axis] = world[axis] * factor * 0.25f + 0.5f;
      } else {
        for (int axis = 0; axis < 3; ++axis) sample.point[axis] = (world[axis] - low[axis]) / side;
      }
      int64_t cell[3];
      for (int axis = 0; axis < 3; ++axis) cell[axis] = cell_of(sample.point[axis] * cells, last);
      const float free = jump[cell[0] + grid * (cell[1] + grid * cell[2])];
      if (free < 0.0f) {
        sample.t = t;
        sample.delta = delta * factor;
        ray.index += 1.0f;
        return true;
      }
      ray.index = std::max(ray.index + 1.0f, after_leap<UNBOUNDED>(ray, t, free / ray.speed, norm));
    }
    return false;
  }

  // NaN is taken for 0, so that bad rays read no foreign memory.
  static int64_t cell_of(float place, float last) {
    return place > 0.0f ? static_cast<int64_t>(std::min(place, last)) : 0;
  }

  // The lattice point after the empty distance of `free` cells around depth t.
  template <bool UNBOUNDED>
  float after_leap(const RayMarch& ray, float t, float free, float norm) const {
    if (!UNBOUNDED) return ray.index + std::floor(free * (side / static_cast<float>(grid)) / step);
    const float leap = free * std::max(norm / 8.0f, 0.75f) * (2.0f * side / static_cast<float>(grid));
    const float ahead = std::log1p((t + leap - near) * (growth / step)) / growth;
    return std::floor(ahead - 0.5f) - 1.0f;
  }
};

}  // namespace neurocity
