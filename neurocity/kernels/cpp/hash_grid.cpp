// Training's passes through `hash_grid.hpp`: features of points, and the gradient of the table.

#include "hash_grid.hpp"

#include <algorithm>

#include "point_blocks.hpp"
#include "work.hpp"

namespace {

using namespace neurocity;

struct HashGridArguments {
  const float* points;  // [3, count]
  int64_t count;
  float* table;            // [levels, rows, features]: read, or its gradient, which is written
  const float* scales;     // [levels]
  const int32_t* factors;  // [3, levels]
  int64_t levels;
  int64_t rows;
  int64_t features;
  int64_t dense_levels;
  int64_t is_xor;
  float* values;  // [count, levels features]: written, or the gradient with respect to them, which is read
};

template <int F>
HashGrid<float, F> grid_of(const HashGridArguments& call) {
  return {call.table, call.scales, call.factors, call.levels, call.rows, call.dense_levels, call.is_xor != 0};
}

// Level after level, so that a core reads one level's rows at a time.
template <int F>
void encode(const HashGridArguments& call, int64_t begin, int64_t end) {
  using Grid = HashGrid<float, F>;
  const Grid grid = grid_of<F>(call);
  const int64_t width = call.levels * F;
  for (int64_t level = 0; level < call.levels; ++level)
    for_each_block<Grid::BLOCK>(
        call.points, call.count, begin, end, [&](int64_t first, int count, const float* const points[3]) {
          grid.encode_level(level, points, count, call.values + first * width + level * F, width);
        });
}

// A level's rows belong to one part, which adds up in the order of the points.
template <int F>
void add_gradient(const HashGridArguments& call, int64_t level) {
  using Grid = HashGrid<float, F>;
  const Grid grid = grid_of<F>(call);
  const int64_t width = call.levels * F;
  float* const rows = call.table + level * call.rows * F;
  std::fill_n(rows, call.rows * F, 0.0f);
  for_each_block<Grid::BLOCK>(
      call.points, call.count, 0, call.count, [&](int64_t first, int count, const float* const points[3]) {
        typename Grid::Corners corners;
        grid.find_corners(level, points, corners);
        const float* const gradients = call.values + first * width + level * F;
        for (int n = 0; n < count; ++n) {
          const Lanes<F> gradient = Lanes<F>::load(gradients + n * width);
          for (int corner = 0; corner < 8; ++corner) {
            float* const row = rows + static_cast<size_t>(corners.row[corner][n]) * F;
            fused(gradient, Lanes<F>(corners.share[corner][n]), Lanes<F>::load(row)).store(row);
          }
        }
      });
}

// Calls task(number) with the number of features as a constant.
template <typename Task>
void with_features(int64_t features, Task task) {
  switch (features) {
    case 1:
      return task(std::integral_constant<int, 1>{});
    case 2:
      return task(std::integral_constant<int, 2>{});
    case 4:
      return task(std::integral_constant<int, 4>{});
    default:
      throw std::invalid_argument("features");
  }
}

}  // namespace

// Parts of PART_POINTS points.
NEUROCITY_EXPORT int32_t nc_encode_hash_grid(const HashGridArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t part) {
    const int64_t begin = part * PART_POINTS, end = std::min(begin + PART_POINTS, call->count);
    with_features(call->features, [&](auto number) { encode<decltype(number)::value>(*call, begin, end); });
  });
}

// A part is a level.
NEUROCITY_EXPORT int32_t nc_hash_grid_gradient(const HashGridArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t level) {
    with_features(call->features, [&](auto number) { add_gradient<decltype(number)::value>(*call, level); });
  });
}
