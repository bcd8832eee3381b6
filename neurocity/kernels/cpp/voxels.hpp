// Light of sparse voxels: their stored numbers, optical depth and colour, for N rays with one origin.
//
// The arithmetic is that of `svraster.shading`.

#pragma once

#include <cmath>

#include "half.hpp"
#include "octree.hpp"
#include "spherical_harmonics.hpp"

namespace neurocity {

// Densities at a voxel's corners, in the order of octants, before activation.
struct Corners {
  Lanes<4> low, high;
};

// One record a voxel, `stride` numbers apart: 3 coefficients for each harmonic, then 8 corners.
template <typename T>
struct Records {
  const T* data;
  int64_t stride;
  int harmonics;

  const T* record(int32_t voxel) const { return data + voxel * stride; }
  Corners corners(int32_t voxel) const {
    const T* const found = record(voxel) + 3 * harmonics;
    return {load_four(found), load_four(found + 4)};
  }
  // Coefficients of red, green and blue, and one number more.
  Lanes<4> coefficients(int32_t voxel, int harmonic) const { return load_four(record(voxel) + 3 * harmonic); }
};

// The tensors of a model: density [M], points [N, 8], sh0 [N, 3], shs [N, harmonics - 1, 3].
struct VoxelTensors {
  const float* density;
  const int32_t* points;
  const float *sh0, *shs;
  int harmonics;

  Corners corners(int32_t voxel) const {
    Corners result;
    for (int lane = 0; lane < 4; ++lane) {
      result.low.set(lane, density[points[int64_t{voxel} * 8 + lane]]);
      result.high.set(lane, density[points[int64_t{voxel} * 8 + 4 + lane]]);
    }
    return result;
  }
  Lanes<4> coefficients(int32_t voxel, int harmonic) const {
    const float* const found =
        harmonic ? shs + (int64_t{voxel} * (harmonics - 1) + harmonic - 1) * 3 : sh0 + int64_t{voxel} * 3;
    Lanes<4> result = 0.0f;
    for (int channel = 0; channel < 3; ++channel) result.set(channel, found[channel]);
    return result;
  }
};

// Activation of raw densities: an exponential that continues as x from 1.1 on.
template <int N>
Lanes<N> explin(Lanes<N> raw) {
  const Lanes<N> limit = 1.1f;
  const Lanes<N> power = fused(min(raw, limit), Lanes<N>(1.0f / 1.1f), Lanes<N>(-0.904689820196f));
  return select(raw > limit, raw, exponential(power));
}

template <int N>
Lanes<N> lerp(Lanes<N> low, Lanes<N> high, Lanes<N> place) {
  return fused(place, high - low, low);
}

// Trilinear values at places in a voxel, clamped to [0, 1].
template <int N>
Lanes<N> interpolate(const Corners& corners, const Lanes<N> (&place)[3]) {
  Lanes<N> inside[3];
  for (int axis = 0; axis < 3; ++axis) inside[axis] = max(min(place[axis], Lanes<N>(1.0f)), Lanes<N>(0.0f));
  const Lanes<4> slope = corners.high - corners.low;
  Lanes<N> face[4];
  for (int index = 0; index < 4; ++index)
    face[index] = fused(inside[0], Lanes<N>(slope[index]), Lanes<N>(corners.low[index]));
  return lerp(lerp(face[0], face[2], inside[1]), lerp(face[1], face[3], inside[1]), inside[2]);
}

// Optical depths between `begin` and `end` by the midpoint rule, 0 where begin >= end, for density per unit
// of depth. speed: the cube's units per world unit.
template <int N>
Lanes<N> optical_depth(const Corners& corners, const Voxel& voxel, const float (&eye)[3],
                       const Lanes<N> (&speed)[3], Lanes<N> begin, Lanes<N> end, int samples) {
  const float scale = 0.25f / voxel.quarter;
  float start[3];
  for (int axis = 0; axis < 3; ++axis)
    start[axis] = (eye[axis] - (voxel.center[axis] - 2.0f * voxel.quarter)) * scale;
  const Lanes<N> width = max(end - begin, Lanes<N>(0.0f)) * (1.0f / samples);
  const auto density_at = [&](int sample) {
    const Lanes<N> t = fused(width, Lanes<N>(sample + 0.5f), begin) * scale;
    Lanes<N> place[3];
    for (int axis = 0; axis < 3; ++axis) place[axis] = fused(speed[axis], t, Lanes<N>(start[axis]));
    return explin(interpolate(corners, place));
  };
  Lanes<N> total = density_at(0);
  for (int sample = 1; sample < samples; ++sample) total += density_at(sample);
  return total * width;
}

// The colour (red, green, blue and a number more) in which a voxel is seen from `eye`.
template <typename Store>
Lanes<4> voxel_color(const Store& store, const Voxel& voxel, const float (&eye)[3], float brightest) {
  float view[3];
  for (int axis = 0; axis < 3; ++axis) view[axis] = voxel.center[axis] - eye[axis];
  const float norm = std::sqrt(view[0] * view[0] + view[1] * view[1] + view[2] * view[2]);
  const float inverse = 1.0f / std::max(norm, 1e-12f);
  Lanes<1> basis[MAX_HARMONICS];
  spherical_harmonics<1>(view[0] * inverse, view[1] * inverse, view[2] * inverse, store.harmonics, basis);
  Lanes<4> color = 0.5f;
  for (int index = 0; index < store.harmonics; ++index)
    color = fused(Lanes<4>(basis[index][0]), store.coefficients(voxel.index, index), color);
  return max(min(color, Lanes<4>(brightest)), Lanes<4>(0.0f));
}

}  // namespace neurocity
