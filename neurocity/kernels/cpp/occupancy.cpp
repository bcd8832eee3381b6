// The jump field of `rendering.occupancy`: distances to occupied cells, in maximum norm.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "work.hpp"

namespace {

using namespace neurocity;

struct JumpArguments {
  const uint8_t* occupied;  // [grid^3]
  float* jump;              // [grid^3], written
  int64_t grid;
  int64_t longest;  // distances are cut off here, below 255
};

// Distances with a border of one cell around the grid.
class Distances {
 public:
  explicit Distances(const JumpArguments& call)
      : grid_(call.grid),
        longest_(static_cast<uint8_t>(call.longest)),
        cells_((grid_ + 2) * (grid_ + 2) * (grid_ + 2), longest_),
        column_(grid_ + 2),
        nearest_(grid_) {}

  // The cells (0, y, z) to (grid - 1, y, z).
  uint8_t* row(int64_t y, int64_t z) { return &cells_[(grid_ + 2) * (y + 1 + (grid_ + 2) * (z + 1)) + 1]; }

  // Takes what is one cell away in the nine cells of the slice before, the three of the row before, and the
  // one before in the row: towards the grid's low corner, or its high one.
  void sweep_row(int64_t y, int64_t z, bool forward) {
    const int64_t before = forward ? -1 : 1;
    const uint8_t *const a = row(y - 1, z + before), *const b = row(y, z + before),
                         *const c = row(y + 1, z + before), *const d = row(y + before, z);
    uint8_t* const column = column_.data() + 1;
    for (int64_t x = -1; x <= grid_; ++x) column[x] = std::min(std::min(a[x], b[x]), std::min(c[x], d[x]));
    for (int64_t x = 0; x < grid_; ++x)
      nearest_[x] = std::min(column[x], std::min(column[x - 1], column[x + 1])) + 1;
    uint8_t* const cells = row(y, z);
    uint8_t last = longest_;
    for (int64_t i = 0; i < grid_; ++i) {
      const int64_t x = forward ? i : grid_ - 1 - i;
      last = std::min<uint8_t>(std::min(cells[x], nearest_[x]), last + 1);
      cells[x] = last;
    }
  }

 private:
  const int64_t grid_;
  const uint8_t longest_;
  std::vector<uint8_t> cells_, column_, nearest_;
};

// Two raster scans are exact in maximum norm (Rosenfeld and Pfaltz 1966).
void find_jumps(const JumpArguments& call) {
  const int64_t grid = call.grid;
  Distances distances(call);
  const auto at = [grid](int64_t y, int64_t z) { return grid * (y + grid * z); };
  for (int64_t z = 0; z < grid; ++z)
    for (int64_t y = 0; y < grid; ++y) {
      uint8_t* const cells = distances.row(y, z);
      for (int64_t x = 0; x < grid; ++x)
        if (call.occupied[at(y, z) + x]) cells[x] = 0;
      distances.sweep_row(y, z, true);
    }
  for (int64_t z = grid; z-- > 0;)
    for (int64_t y = grid; y-- > 0;) {
      distances.sweep_row(y, z, false);
      const uint8_t* const cells = distances.row(y, z);
      for (int64_t x = 0; x < grid; ++x) call.jump[at(y, z) + x] = static_cast<float>(cells[x]) - 1.0f;
    }
}

}  // namespace

// One part.
NEUROCITY_EXPORT int32_t nc_find_jumps(const JumpArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t) { find_jumps(*call); });
}
