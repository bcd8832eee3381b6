// Points given as planes of x, y and z, in blocks of neighbours.

#pragma once

#include <algorithm>
#include <cstdint>

namespace neurocity {

constexpr int64_t PART_POINTS =
    4096;  // a part's features stay in a core's cache while each level adds its own

// Calls task(first, count, points) for blocks of up to BLOCK points among [begin, end) of planes [3, total];
// behind the last point stand copies of it.
template <int BLOCK, typename Task>
void for_each_block(const float* planes, int64_t total, int64_t begin, int64_t end, Task task) {
  int64_t first = begin;
  for (; first + BLOCK <= end; first += BLOCK) {
    const float* const points[3] = {planes + first, planes + total + first, planes + 2 * total + first};
    task(first, BLOCK, points);
  }
  if (first == end) return;
  const int count = static_cast<int>(end - first);
  float copies[3][BLOCK];
  for (int axis = 0; axis < 3; ++axis)
    for (int n = 0; n < BLOCK; ++n) copies[axis][n] = planes[axis * total + first + std::min(n, count - 1)];
  const float* const points[3] = {copies[0], copies[1], copies[2]};
  task(first, count, points);
}

}  // namespace neurocity
