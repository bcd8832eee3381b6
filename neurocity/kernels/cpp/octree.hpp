// Which voxels rays cross, exactly and front to back: `svraster.traversal` for N rays with one origin.
//
// The side of a node's three planes on which the rays begin, the eye's, orders its children for all of them:
// with a bit for each plane that lies between a child and the eye, a ray meets children in the order of these
// bits as numbers. A ray crosses a plane once, at t = (plane - eye) * inverse, or never.

#pragma once

#include "rays.hpp"

namespace neurocity {

constexpr int32_t EMPTY = -1;
constexpr int32_t FIRST_VOXEL = -2;  // of the numbers of voxels, which go down
constexpr int MAX_LEVELS = 16;
constexpr float LARGEST_INVERSE = 1e30f;
// Behind all that rays meet, and finite, so that no product with it is NaN.
constexpr float NEVER = 1e37f;

// Children [nodes, 8] by octant 4 x + 2 y + z: a node, EMPTY, or FIRST_VOXEL - v for voxel v. No path from
// the root, node 0, is longer than MAX_LEVELS. The root is the unit cube.
struct Octree {
  const int32_t* children;
};

// A voxel, its centre, and a quarter of its side.
struct Voxel {
  int32_t index;
  float center[3], quarter;
};

// Inverses of components of directions, as `traversal.inverse_directions`.
template <int N>
Lanes<N> inverse_of(Lanes<N> direction) {
  const Mask<N> is_small = absolute(direction) * LARGEST_INVERSE < Lanes<N>(1.0f);
  return select(is_small, Lanes<N>(LARGEST_INVERSE), 1.0f / direction);
}

// World rays with one origin in the unit cube of the octree.
template <int N>
struct UnitRays {
  float eye[3];
  Lanes<N> direction[3], speed[3], inverse[3];

  UnitRays(const Rays& rays, const Packet<N>& packet, const float* root_low, float root_side) {
    for (int axis = 0; axis < 3; ++axis) {
      eye[axis] = (rays.origins[packet.ray[0] * 3 + axis] - root_low[axis]) / root_side;
      direction[axis] = packet.component(rays.directions, axis);
      speed[axis] = direction[axis] / root_side;
      inverse[axis] = inverse_of(speed[axis]);
    }
  }
};

// N rays that begin at `eye` and cross the unit cube between the depths `begin` and `end`, where `alive`.
template <int N>
struct CubeRays {
  float eye[3];
  Lanes<N> inverse[3], begin, end;
  Mask<N> alive;

  // inverse_directions: as `inverse_of` gives them, NaN for rays that are to meet nothing.
  CubeRays(const float (&origin)[3], const Lanes<N> (&inverse_directions)[3], float nearest)
      : begin(nearest), end(NEVER), alive(end == end) {
    for (int axis = 0; axis < 3; ++axis) {
      eye[axis] = origin[axis];
      inverse[axis] = inverse_directions[axis];
      const Lanes<N> low = -eye[axis] * inverse[axis], high = (1.0f - eye[axis]) * inverse[axis];
      alive = alive & (low == low) & (high == high);
      begin = max(begin, min(low, high));
      end = min(end, max(low, high));
    }
    alive = alive & (begin < end);
    // What rays without a way through the cube hold is never looked at, but it must not be NaN.
    for (Lanes<N>& value : inverse) value = select(alive, value, Lanes<N>(1.0f));
    begin = select(alive, begin, Lanes<N>(NEVER));
    end = select(alive, end, Lanes<N>(0.0f));
  }
  // Only the first `count` rays are to meet something.
  void keep_first(int count) {
    for (int lane = count; lane < N; ++lane) end.set(lane, begin[lane]);
    alive = alive & (begin < end);
  }
};

// A node on the way down: between which depths rays are in its children, by the planes that they are beyond.
template <int N>
struct Node {
  Lanes<N> begin[8], end[8];
  const int32_t* children;
  float center[3], quarter;
  int eye_octant;
  unsigned ahead;  // a bit for each child that is still to be looked into
};

// Bit `octant` is set where a child is not empty.
inline unsigned present_children(const int32_t* children) {
#if defined(__AVX2__)
  const __m256i row = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(children));
  const __m256i empty = _mm256_cmpeq_epi32(row, _mm256_set1_epi32(EMPTY));
  return ~_mm256_movemask_ps(_mm256_castsi256_ps(empty)) & 0xff;
#else
  unsigned present = 0;
  for (int octant = 0; octant < 8; ++octant) present |= unsigned{children[octant] != EMPTY} << octant;
  return present;
#endif
}

// Moves bit i of 8 to i ^ octant.
inline unsigned exchange_octants(unsigned bits, int octant) {
  if (octant & 4) bits = (bits << 4 | bits >> 4) & 0xff;
  if (octant & 2) bits = (bits & 0x33) << 2 | (bits >> 2 & 0x33);
  if (octant & 1) bits = (bits & 0x55) << 1 | (bits >> 1 & 0x55);
  return bits;
}

// Looks into a node whose children, centre and quarter are given, and in which rays are from begin to end.
template <int N>
void open(const CubeRays<N>& rays, const Mask<N> (&rises)[3], Mask<N> alive, Lanes<N> begin, Lanes<N> end,
          Node<N>& node) {
  Lanes<N> plane[3];
  node.eye_octant = 0;
  for (int axis = 0; axis < 3; ++axis) {
    // A ray that runs inside a plane belongs to the larger coordinates.
    const bool is_high = rays.eye[axis] >= node.center[axis];
    const Mask<N> crosses = is_high ? !rises[axis] : rises[axis];
    node.eye_octant |= int{is_high} << (2 - axis);
    plane[axis] = select(crosses, (node.center[axis] - rays.eye[axis]) * rays.inverse[axis], Lanes<N>(NEVER));
  }
  node.begin[0] = begin;
  node.end[7] = end;
  for (int axis = 0, bit = 4; axis < 3; ++axis, bit /= 2) {
    node.begin[bit] = max(begin, plane[axis]);
    node.end[7 - bit] = min(end, plane[axis]);
  }
  node.begin[3] = max(node.begin[1], plane[1]);
  node.begin[5] = max(node.begin[1], plane[0]);
  node.begin[6] = max(node.begin[2], plane[0]);
  node.begin[7] = max(node.begin[3], plane[0]);
  node.end[4] = min(node.end[6], plane[1]);
  node.end[2] = min(node.end[6], plane[0]);
  node.end[1] = min(node.end[5], plane[0]);
  node.end[0] = min(node.end[4], plane[0]);
  unsigned met = 0;
  for (int child = 0; child < 8; ++child)
    met |= unsigned{any((node.begin[child] < node.end[child]) & alive)} << child;
  node.ahead = met & exchange_octants(present_children(node.children), node.eye_octant);
}

// Calls visit(voxel, begin, end, active) for the voxels that rays cross, in an order that is front to back
// for each of them. Rays are in the voxel from begin to end, world units, where `active`; elsewhere the two
// are some numbers. `visit` answers which rays go on. What a ray meets does not depend on others.
template <int N, typename Visitor>
void walk(const Octree& tree, const CubeRays<N>& rays, Visitor visit) {
  Mask<N> alive = rays.alive;
  if (!any(alive)) return;
  Mask<N> rises[3];
  for (int axis = 0; axis < 3; ++axis) rises[axis] = rays.inverse[axis] > Lanes<N>(0.0f);
  Node<N> path[MAX_LEVELS];
  Node<N>* node = path;
  node->children = tree.children;
  node->center[0] = node->center[1] = node->center[2] = 0.5f;
  node->quarter = 0.25f;
  open(rays, rises, alive, rays.begin, rays.end, *node);
  while (true) {
    while (!node->ahead)
      if (node-- == path) return;
    const int index = __builtin_ctz(node->ahead), octant = index ^ node->eye_octant;
    node->ahead &= node->ahead - 1;
    const Lanes<N> begin = node->begin[index], end = node->end[index];
    const Mask<N> active = (begin < end) & alive;
    if (!any(active)) continue;
    const int32_t child = node->children[octant];
    float center[3];
    for (int axis = 0; axis < 3; ++axis)
      center[axis] = node->center[axis] + (octant >> (2 - axis) & 1 ? node->quarter : -node->quarter);
    const float quarter = node->quarter * 0.5f;
    if (child < 0) {
      const Voxel voxel{FIRST_VOXEL - child, {center[0], center[1], center[2]}, quarter};
      alive = alive & visit(voxel, begin, end, active);
      if (!any(alive)) return;
    } else {
      ++node;
      node->children = tree.children + int64_t{child} * 8;
      for (int axis = 0; axis < 3; ++axis) node->center[axis] = center[axis];
      node->quarter = quarter;
      open(rays, rises, alive, begin, end, *node);
    }
  }
}

}  // namespace neurocity
