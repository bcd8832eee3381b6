// The march of `rendering.marching`: the occupied lattice points of a ray, front to back.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace neurocity {

// Where rays march: `RayMarcher`, and the jump field [grid^3] of its occupancy.
struct MarchSpace {
  const void* jump;    // of float, or of what the marcher says
  const float* edges;  // [points + 1]: of an unbounded lattice
  int64_t grid, points;
  int32_t unbounded;
  float low[3], high[3], center[3];
  float step, side, near, growth;
};

// A point in the field's unit cube, its depth in world units, and its interval's width as the field sees it.
struct Sample {
  float point[3];
  float t, delta;
};

// Where the march of a ray goes on; `index` is the next of `count` lattice points.
struct RayMarch {
  float origin[3], direction[3];
  float start, count, jitter;
  float leap;  // for each empty cell, in world units; in a box in lattice points
  float index;
};

// UNBOUNDED: as `MarchSpace` says; it is a template's so that a ray does not ask at each of its points.
// Jump: the type of the jump field, which has whole numbers.
template <bool UNBOUNDED, typename Jump = float>
class Marcher {
 public:
  explicit Marcher(const MarchSpace& space)
      : space_(space),
        jump_(static_cast<const Jump*>(space.jump)),
        cells_(static_cast<float>(space.grid)),
        last_(cells_ - 1.0f),
        half_side_(space.side / 2.0f),
        cell_side_((UNBOUNDED ? 2.0f * space.side : space.side) / cells_) {}

  // A ray at its first lattice point. jitter in [0, 1): the place of samples in their intervals.
  // No ray that is not finite has a lattice in a box.
  RayMarch begin(const float* origin, const float* direction, float jitter) const {
    RayMarch ray;
    float enters = -INFINITY, leaves = INFINITY, not_finite = 0.0f;
    for (int axis = 0; axis < 3; ++axis) {
      ray.origin[axis] = origin[axis];
      ray.direction[axis] = direction[axis];
      const float inverse = 1.0f / away_from_zero(direction[axis]);
      const float to_low = (space_.low[axis] - origin[axis]) * inverse;
      const float to_high = (space_.high[axis] - origin[axis]) * inverse;
      enters = std::max(enters, std::min(to_low, to_high));
      leaves = std::min(leaves, std::max(to_low, to_high));
      not_finite += (to_low + to_high) * 0.0f;
    }
    const float speed = std::max({std::abs(direction[0]), std::abs(direction[1]), std::abs(direction[2])});
    ray.leap = cell_side_ / (UNBOUNDED ? speed : speed * space_.step);
    ray.jitter = jitter;
    ray.index = 0.0f;
    ray.start = std::max(enters, space_.near);
    ray.count = std::floor((leaves - ray.start) / space_.step);
    ray.count = not_finite == 0.0f && ray.count > 0.0f ? std::min(ray.count, 1e6f) : 0.0f;
    if (UNBOUNDED) {
      ray.start = space_.near;
      ray.count = static_cast<float>(space_.points);
    }
    return ray;
  }

  // Goes to the next sample, if there is one, and past it.
  bool next(RayMarch& ray, Sample& sample) const {
    while (ray.index < ray.count) {
      float delta = space_.step, t, norm = 1.0f, factor = 1.0f;
      if (UNBOUNDED) {
        const float* const edge = space_.edges + static_cast<int64_t>(ray.index);
        delta = edge[1] - edge[0];
        t = edge[0] + ray.jitter * delta;
      } else {
        t = ray.start + (ray.index + ray.jitter) * space_.step;
      }
      float world[3];
      for (int axis = 0; axis < 3; ++axis) world[axis] = ray.origin[axis] + ray.direction[axis] * t;
      if (UNBOUNDED) {
        for (int axis = 0; axis < 3; ++axis) world[axis] = (world[axis] - space_.center[axis]) / half_side_;
        norm = std::max({std::abs(world[0]), std::abs(world[1]), std::abs(world[2])});
        // Nothing follows that is a place.
        if (!(std::abs(world[0]) + std::abs(world[1]) + std::abs(world[2]) < INFINITY)) break;
        const float outer = std::max(norm, 1.0f);
        factor = (2.0f - 1.0f / outer) / outer;
        for (int axis = 0; axis < 3; ++axis) sample.point[axis] = world[axis] * factor * 0.25f + 0.5f;
      } else {
        for (int axis = 0; axis < 3; ++axis)
          sample.point[axis] = (world[axis] - space_.low[axis]) / space_.side;
      }
      int64_t cell[3];
      for (int axis = 0; axis < 3; ++axis) cell[axis] = cell_of(sample.point[axis] * cells_);
      const Jump free = jump_[cell[0] + space_.grid * (cell[1] + space_.grid * cell[2])];
      if (free < 0) {
        sample.t = t;
        sample.delta = delta * factor;
        ray.index += 1.0f;
        return true;
      }
      ray.index = std::max(ray.index + 1.0f, after_leap(ray, t, static_cast<float>(free) * ray.leap, norm));
    }
    ray.index = ray.count;
    return false;
  }

 private:
  static float away_from_zero(float component) {
    constexpr float SMALLEST = 1e-9f;
    if (std::abs(component) < SMALLEST) return component < 0.0f ? -SMALLEST : SMALLEST;
    return component;
  }

  // NaN is taken for 0, so that no ray reads outside of the grid.
  int64_t cell_of(float place) const {
    return place > 0.0f ? static_cast<int64_t>(std::min(place, last_)) : 0;
  }

  // The lattice point after a distance that is empty around depth t.
  float after_leap(const RayMarch& ray, float t, float empty, float norm) const {
    if (!UNBOUNDED) return ray.index + std::floor(empty);
    const float leap = empty * std::max(norm / 8.0f, 0.75f);
    const float ahead = std::log1p((t + leap - space_.near) * (space_.growth / space_.step)) / space_.growth;
    return std::floor(ahead - ray.jitter) - 1.0f;
  }

  const MarchSpace space_;
  const Jump* const jump_;
  const float cells_, last_, half_side_, cell_side_;
};

}  // namespace neurocity
