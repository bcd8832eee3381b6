// The march of training: all samples of many rays, packed.

#include "march.hpp"

#include "work.hpp"

namespace {

using namespace neurocity;

struct MarchArguments {
  const float* origins;     // [rays, 3]
  const float* directions;  // [rays, 3]
  const float* jitters;     // [rays]
  int64_t rays;
  MarchSpace space;
  int64_t* offsets;    // [rays + 1]
  float* points;       // [3, N]; null: write how many samples ray r has into offsets[r + 1], and nothing else
  float* t;            // [N]
  float* delta;        // [N]
  int64_t* ray_index;  // [N]
};

constexpr int64_t PART_RAYS = 64;  // rays differ in length

template <bool UNBOUNDED>
void march(const MarchArguments& call, int64_t begin, int64_t end) {
  const Marcher<UNBOUNDED> marcher(call.space);
  const int64_t total = call.points ? call.offsets[call.rays] : 0;
  for (int64_t r = begin; r < end; ++r) {
    RayMarch ray = marcher.begin(call.origins + 3 * r, call.directions + 3 * r, call.jitters[r]);
    Sample sample;
    if (!call.points) {
      int64_t found = 0;
      while (marcher.next(ray, sample)) ++found;
      call.offsets[r + 1] = found;
      continue;
    }
    for (int64_t n = call.offsets[r]; marcher.next(ray, sample); ++n) {
      for (int axis = 0; axis < 3; ++axis) call.points[axis * total + n] = sample.point[axis];
      call.t[n] = sample.t;
      call.delta[n] = sample.delta;
      call.ray_index[n] = r;
    }
  }
}

}  // namespace

// Parts of PART_RAYS rays.
NEUROCITY_EXPORT int32_t nc_march(const MarchArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t part) {
    const int64_t begin = part * PART_RAYS, end = std::min(begin + PART_RAYS, call->rays);
    if (call->space.unbounded)
      march<true>(*call, begin, end);
    else
      march<false>(*call, begin, end);
  });
}
