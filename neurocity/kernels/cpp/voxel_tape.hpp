// What a training pass over sparse voxels notes on its way along the rays, and what it finds on its way back.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lanes.hpp"

namespace neurocity {

constexpr int MAX_SAMPLES = 3;

// Points and voxels belong to one owner each, who adds up what they get: sums have one order, whatever the
// threads do. Neighbours have near numbers. An owner has a range of them, so that most voxels have all their
// corners in one, and so that a range of gradients stays in the cache.
constexpr int OWNERS = 32;

// WIDTH intervals of the rays of a packet, in an order that is front to back for each ray. Those behind the
// first `count` have no length.
struct alignas(4 * WIDTH) Block {
  int32_t voxel[WIDTH];
  int32_t lane[WIDTH];  // of the ray in its packet
  float center[3][WIDTH], quarter[WIDTH];
  float begin[WIDTH], end[WIDTH];
  float before[WIDTH], absorbed[WIDTH];  // the shares of light that reach the interval, and stay there
  float color[3][WIDTH];
  float slopes[MAX_SAMPLES][WIDTH];  // of activated density at each sample
  int32_t count;
};

// What a voxel gets of an interval: a gradient of its colour, seen along `view`, and statistics.
struct VoxelUpdate {
  int32_t voxel;
  float view[3], color[3], priority, weight, footprint;
};

// What a voxel's corners get of an interval: gradients of densities.
struct CornerUpdate {
  int32_t voxel;
  float corners[8];
};

// Items one after the other. Their memory stays when they are forgotten.
template <typename T>
class Strip {
 public:
  void clear() { used_ = 0; }
  // One item more, to be filled. It stays where it is until the next call.
  T& add() {
    if (used_ == items_.size()) items_.resize(std::max<size_t>(16, 2 * used_));
    return items_[used_++];
  }
  size_t size() const { return used_; }
  const T& operator[](size_t index) const { return items_[index]; }

 private:
  std::vector<T> items_;
  size_t used_ = 0;
};

// The notes of one part of the rays. ends: how many blocks there are behind each packet.
struct PartTape {
  std::vector<size_t> ends;
  Strip<Block> blocks;
  Strip<VoxelUpdate> voxels[OWNERS];
  Strip<CornerUpdate> corners[OWNERS];
};

struct VoxelTape {
  std::vector<PartTape> parts;
};

}  // namespace neurocity
