// What both ways of a training pass over sparse voxels share: its arguments, and the rays of a packet.

#pragma once

#include "rays.hpp"
#include "voxel_tape.hpp"
#include "voxels.hpp"

namespace neurocity {

struct VoxelTrainingArguments {
  Rays rays;
  const float* photograph;    // [R, 3]
  const float* pixel_widths;  // [R], at unit distance
  const int32_t* children;
  const int32_t* voxel_points;
  const float* density;
  const float* sh0;
  const float* shs;
  VoxelTape* tape;
  // What is computed on the way along the rays: [R, 3], then [R] each, and a number for each part.
  float* rgb;
  float* opacity;
  float* concentration;
  float* distortion;
  int64_t* evaluated;
  // Gradients by these; then those that are written, and statistics of voxels that are added to.
  const float* rgb_slopes;
  const float* opacity_slopes;
  const float* concentration_slopes;
  const float* distortion_slopes;
  float* density_gradient;
  float* sh0_gradient;
  float* shs_gradient;
  float* priority;
  float* weight;
  float* footprint;
  int64_t voxels;
  int64_t points;
  float root_low[3];
  float root_side;
  float near;
  float density_scale;
  float distance_unit;
  float least_light;
  float near_distance;  // within which views count less
  int32_t harmonics;    // of the model
  int32_t harmonics_in_use;
  int32_t samples;
  int32_t distorting;  // whether distortion is computed

  float share_seen() const { return 1.0f / (1.0f - least_light); }
};

using Wide = Lanes<WIDTH>;

// Numbers of the rays of a packet, by their lanes in it.
struct PacketRays {
  float eye[3][WIDTH], speed[3][WIDTH], photograph[3][WIDTH];

  PacketRays(const VoxelTrainingArguments& pass, const Packet<WIDTH>& packet) {
    for (int axis = 0; axis < 3; ++axis) {
      ((packet.component(pass.rays.origins, axis) - pass.root_low[axis]) / pass.root_side).store(eye[axis]);
      (packet.component(pass.rays.directions, axis) / pass.root_side).store(speed[axis]);
      packet.component(pass.photograph, axis).store(photograph[axis]);
    }
  }
};

// The numbers of the rays that a block's intervals are of.
inline Wide of_lanes(const float (&numbers)[WIDTH], const Block& block) {
  return permuted(Wide::load(numbers), LanesOfInt<WIDTH>::load(block.lane));
}
inline void of_lanes(const float (&numbers)[3][WIDTH], const Block& block, Wide (&result)[3]) {
  for (int axis = 0; axis < 3; ++axis) result[axis] = of_lanes(numbers[axis], block);
}

inline void load(const float (&numbers)[3][WIDTH], Wide (&result)[3]) {
  for (int axis = 0; axis < 3; ++axis) result[axis] = Wide::load(numbers[axis]);
}

// Spherical harmonics along views of any length.
inline void view_harmonics(const Wide (&view)[3], int count, Wide* basis) {
  const Wide norm = square_root(view[0] * view[0] + view[1] * view[1] + view[2] * view[2]);
  const Wide inverse = 1.0f / max(norm, Wide(1e-12f));
  spherical_harmonics(view[0] * inverse, view[1] * inverse, view[2] * inverse, count, basis);
}

// Middles and lengths of a block's intervals, in units of distance contracted to [0, 2).
inline void contract(const Block& block, float unit, Wide& middle, Wide& length) {
  const auto contracted = [&](const float (&depths)[WIDTH]) {
    const Wide distance = Wide::load(depths) / unit;
    return select(distance < Wide(1.0f), distance, 2.0f - 1.0f / distance);
  };
  const Wide first = contracted(block.begin), last = contracted(block.end);
  middle = 0.5f * (first + last);
  length = last - first;
}

}  // namespace neurocity
