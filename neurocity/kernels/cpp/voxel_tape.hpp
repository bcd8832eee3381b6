// What a training pass over sparse voxels notes on its way along the rays, and what it finds on its way back.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "octree.hpp"

namespace neurocity {

// Rows of gradients belong to one owner each, so that sums have one order, whatever the threads do.
constexpr int OWNERS = 32;

// Blocks of neighbouring rows alternate between owners: even shares, and few cache lines that two write to.
inline int owner_of(int32_t row) { return (row >> 6) % OWNERS; }

// A voxel that N rays met. `begin`, `end`: depths between which they are in it, equal where they are not.
// `left`: the share of light that passes it.
template <int N>
struct Visit {
  Voxel voxel;
  float color[3];
  Lanes<N> begin, end, left;
};

// What a voxel gets of one visit: a gradient of its colour in direction `view`, and statistics.
struct VoxelUpdate {
  int32_t voxel;
  float view[3], color[3], priority, weight, footprint;
};

struct PointUpdate {
  int32_t point;
  float density;
};

// Numbers one after the other. Its memory stays when it is emptied.
class Strip {
 public:
  void clear() { used_ = 0; }
  // Room for some more numbers, until the next call.
  float* add(size_t count) {
    if (used_ + count > numbers_.size()) numbers_.resize(std::max(2 * numbers_.size(), used_ + count));
    return numbers_.data() + (used_ += count) - count;
  }
  const float* at(size_t place) const { return numbers_.data() + place; }
  size_t size() const { return used_; }

 private:
  std::vector<float> numbers_;
  size_t used_ = 0;
};

// The notes of one part of the rays. `visits` of a packet: how many; `notes`: visits, packet after packet,
// each with the slopes of activated density at its samples behind it.
struct PartTape {
  std::vector<int32_t> visits;
  Strip notes;
  std::vector<VoxelUpdate> voxels[OWNERS];
  std::vector<PointUpdate> points[OWNERS];

  void clear() {
    visits.clear();
    notes.clear();
  }
  void clear_updates() {
    for (auto& updates : voxels) updates.clear();
    for (auto& updates : points) updates.clear();
  }
};

struct VoxelTape {
  std::vector<PartTape> parts;
};

}  // namespace neurocity
