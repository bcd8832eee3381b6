// Light of sparse voxels: their stored numbers, optical depth and colour, for N rays with one origin.
//
// The arithmetic is that of `svraster.shading`.

#pragma once

#include <algorithm>
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
    // There is a number more to read, but behind the last coefficient.
    if (harmonic && harmonic + 1 < harmonics) return load_four(found);
    Lanes<4> result = 0.0f;
    for (int channel = 0; channel < 3; ++channel) result.set(channel, found[channel]);
    return result;
  }
};

// Activation of raw densities: an exponential that continues as x from 1.1 on. NaN stays.
template <int N>
Lanes<N> explin(Lanes<N> raw) {
  const Lanes<N> limit = 1.1f;
  const Lanes<N> power = fused(min(raw, limit), Lanes<N>(1.0f / 1.1f), Lanes<N>(-0.904689820196f));
  return select(raw <= limit, exponential(power), raw);
}

// The slope of `explin`, by what it gave.
template <int N>
Lanes<N> explin_slope(Lanes<N> raw, Lanes<N> activated) {
  return select(raw > Lanes<N>(1.1f), Lanes<N>(1.0f), activated * (1.0f / 1.1f));
}

template <int N>
Lanes<N> lerp(Lanes<N> low, Lanes<N> high, Lanes<N> place) {
  return fused(place, high - low, low);
}

// Trilinear values at places, in [0, 1], by values at the two ends of each edge along x.
template <int N>
Lanes<N> interpolate(const Lanes<N> (&low)[4], const Lanes<N> (&slope)[4], const Lanes<N> (&place)[3]) {
  Lanes<N> face[4];
  for (int index = 0; index < 4; ++index) face[index] = fused(place[0], slope[index], low[index]);
  return lerp(lerp(face[0], face[2], place[1]), lerp(face[1], face[3], place[1]), place[2]);
}

template <int N>
Lanes<N> interpolate(const Corners& corners, const Lanes<N> (&place)[3]) {
  const Lanes<4> difference = corners.high - corners.low;
  Lanes<N> low[4], slope[4];
  for (int index = 0; index < 4; ++index) {
    low[index] = corners.low[index];
    slope[index] = difference[index];
  }
  return interpolate(low, slope, place);
}

// Where rays that are in a voxel from `begin` to `end` are looked at: in the middles of `count` equal pieces,
// each `width` long, 0 where begin >= end. speed: the cube's units per unit of depth. T: numbers of one voxel
// and eye, or of one for each ray.
template <int N, typename T = float>
struct VoxelSamples {
  int count;
  Lanes<N> width;

  VoxelSamples(const T (&center)[3], T quarter, const T (&eye)[3], const Lanes<N> (&speed)[3], Lanes<N> begin,
               Lanes<N> end, int count)
      : count(count),
        width(max(end - begin, Lanes<N>(0.0f)) * (1.0f / count)),
        begin_(begin),
        speed_(speed),
        scale_(0.25f / quarter) {
    for (int axis = 0; axis < 3; ++axis)
      start_[axis] = (eye[axis] - (center[axis] - 2.0f * quarter)) * scale_;
  }
  // The places of a sample in the voxel, clamped to [0, 1].
  void place(int sample, Lanes<N> (&result)[3]) const {
    const Lanes<N> t = fused(width, Lanes<N>(sample + 0.5f), begin_) * scale_;
    for (int axis = 0; axis < 3; ++axis) {
      const Lanes<N> free = fused(speed_[axis], t, Lanes<N>(start_[axis]));
      result[axis] = max(min(free, Lanes<N>(1.0f)), Lanes<N>(0.0f));
    }
  }

 private:
  Lanes<N> begin_;
  const Lanes<N> (&speed_)[3];
  T scale_, start_[3];
};

// Optical depths by the midpoint rule, for density per unit of depth.
template <int N>
Lanes<N> optical_depth(const Corners& corners, const VoxelSamples<N>& samples) {
  const auto density_at = [&](int sample) {
    Lanes<N> place[3];
    samples.place(sample, place);
    return explin(interpolate(corners, place));
  };
  Lanes<N> total = density_at(0);
  for (int sample = 1; sample < samples.count; ++sample) total += density_at(sample);
  return total * samples.width;
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
  return max(Lanes<4>(0.0f), min(Lanes<4>(brightest), color));  // NaN stays
}

}  // namespace neurocity
