// Total variation of densities along the edges of voxels: `svraster.training.losses.total_variation`.

#include <algorithm>

#include "lanes.hpp"
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

// Adds the slopes of N voxels; their sum of differences.
template <int N>
double vary(const VariationArguments& call, int64_t first, int8_t* slopes) {
  const int32_t* const points = call.voxel_points + first * 8;
  float corners[8][N];
  for (int lane = 0; lane < N; ++lane)
    for (int corner = 0; corner < 8; ++corner)
      corners[corner][lane] = call.density[points[lane * 8 + corner]];
  Lanes<N> density[8], slope[8], sum = 0.0f;
  for (int corner = 0; corner < 8; ++corner) {
    density[corner] = Lanes<N>::load(corners[corner]);
    slope[corner] = 0.0f;
  }
  const Lanes<N> zero = 0.0f, one = 1.0f;
  for (int bit = 1; bit < 8; bit *= 2)
    for (int low = 0; low < 8; ++low) {
      if (low & bit) continue;
      const Lanes<N> difference = density[low] - density[low + bit];
      const Lanes<N> sign = select(difference > zero, one, zero) - select(difference < zero, one, zero);
      sum += absolute(difference);
      slope[low] += sign;
      slope[low + bit] -= sign;
    }
  int32_t steps[8][N];
  for (int corner = 0; corner < 8; ++corner) to_int(slope[corner]).store(steps[corner]);
  double total = 0.0;
  for (int lane = 0; lane < N; ++lane) {
    total += sum[lane];
    for (int corner = 0; corner < 8; ++corner)
      slopes[points[lane * 8 + corner]] += static_cast<int8_t>(steps[corner][lane]);
  }
  return total;
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
      int64_t voxel = call->voxels * chunk / call->chunks;
      for (; voxel + WIDTH <= end; voxel += WIDTH) call->sums[chunk] += vary<WIDTH>(*call, voxel, slopes);
      for (; voxel < end; ++voxel) call->sums[chunk] += vary<1>(*call, voxel, slopes);
    }
  });
}
