// Total variation of densities along the edges of voxels: `svraster.training.losses.total_variation`.

#include <algorithm>
#include <cmath>

#include "work.hpp"

namespace neurocity {
namespace {

// `chunks` ranges of voxels have a sum each, and every part of the work takes some of them, so that sums do
// not depend on the number of parts. Nor do slopes [parts, points], which are whole numbers: a point is a
// corner of 8 voxels at most, at 3 edges of each.
struct VariationArguments {
  const float* density;
  const int32_t* voxel_points;
  int64_t voxels;
  int64_t points;
  int64_t chunks;
  double* sums;
  int8_t* slopes;
};

double vary(const VariationArguments& call, int64_t voxel, int8_t* slopes) {
  const int32_t* const points = call.voxel_points + voxel * 8;
  float density[8], sum = 0.0f;
  int slope[8] = {};
  for (int corner = 0; corner < 8; ++corner) density[corner] = call.density[points[corner]];
  for (int bit = 1; bit < 8; bit *= 2)
    for (int low = 0; low < 8; ++low) {
      if (low & bit) continue;
      const float difference = density[low] - density[low + bit];
      const int sign = (difference > 0.0f) - (difference < 0.0f);
      sum += std::fabs(difference);
      slope[low] += sign;
      slope[low + bit] -= sign;
    }
  for (int corner = 0; corner < 8; ++corner)
    slopes[points[corner]] = static_cast<int8_t>(slopes[points[corner]] + slope[corner]);
  return sum;
}

}  // namespace
}  // namespace neurocity

using namespace neurocity;

NEUROCITY_EXPORT int32_t nc_total_variation(const VariationArguments* call, Work* work) {
  return share(work, [&](int64_t part) {
    int8_t* const slopes = call->slopes + part * call->points;
    std::fill_n(slopes, call->points, int8_t{0});
    for (int64_t chunk = call->chunks * part / work->parts; chunk < call->chunks * (part + 1) / work->parts;
         ++chunk) {
      call->sums[chunk] = 0.0;
      const int64_t end = call->voxels * (chunk + 1) / call->chunks;
      for (int64_t voxel = call->voxels * chunk / call->chunks; voxel < end; ++voxel)
        call->sums[chunk] += vary(*call, voxel, slopes);
    }
  });
}
