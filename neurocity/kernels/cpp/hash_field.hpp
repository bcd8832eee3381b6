// The field of Instant-NGP: a hash grid and two small networks.

#pragma once

#include <cstring>

#include "field.hpp"
#include "hash_grid.hpp"

namespace neurocity {

// table [levels, rows, features] of float, or of Half; scales [levels], factors [3, levels] as in `HashGrid`.
// color_net: of the density network's outputs, of which the first is the log-density, and a direction's
// basis.
struct HashFieldData {
  MarchedData marched;
  const void* table;
  const float* scales;
  const int32_t* factors;
  int64_t levels, rows, features, dense_levels;
  int32_t is_half, is_xor;
  NetworkData density_net, color_net;
};

struct HashFieldCall {
  HashFieldData field;
  Rays rays;
  Light light;
};

template <typename T, int F>
class HashField {
 public:
  explicit HashField(const HashFieldData& data)
      : grid_{static_cast<const T*>(data.table),
              data.scales,
              data.factors,
              data.levels,
              data.rows,
              data.dense_levels,
              data.is_xor != 0},
        density_(data.density_net),
        color_(data.color_net),
        geometry_(data.density_net.widths[data.density_net.layers]),
        encoded_(TILE * data.levels * F),
        inputs_(TILE * (geometry_ + MAX_HARMONICS)),
        outputs_(TILE * color_.width()),
        scratch_(std::max(density_.scratch(TILE), color_.scratch(TILE))) {}

  int features() const { return density_.width(); }
  static constexpr bool is_guided() { return false; }
  static constexpr float guide_weight() { return 0.0f; }
  void find_factors(Tile&, float*) {}

  void find_densities(Points points, int rows, float* features, float* log_densities) {
    const int width = static_cast<int>(grid_.levels) * F, stride = density_.width();
    for (int first = 0; first < rows; first += BLOCK) {
      const float* const block[3] = {points[0] + first, points[1] + first, points[2] + first};
      grid_.encode(block, std::min(BLOCK, rows - first), encoded_.data() + first * width, width);
    }
    density_.apply({encoded_.data(), width}, {features, stride}, rows, scratch_.data());
    for (int row = 0; row < rows; ++row) log_densities[row] = features[row * stride];
  }

  void find_colors(Tile& tile, float (&raw)[3][TILE]) {
    const int width = geometry_ + MAX_HARMONICS, stride = color_.width();
    for (int row = 0; row < tile.rows; ++row) {
      float* const input = inputs_.data() + row * width;
      std::copy_n(tile.features[row], geometry_, input);
      std::copy_n(tile.basis[row], MAX_HARMONICS, input + geometry_);
    }
    color_.apply({inputs_.data(), width}, {outputs_.data(), stride}, tile.rows, scratch_.data());
    for (int channel = 0; channel < 3; ++channel)
      for (int row = 0; row < TILE; ++row) raw[channel][row] = outputs_[row * stride + channel];
  }

 private:
  HashGrid<T, F> grid_;
  Network density_, color_;
  int geometry_;
  std::vector<float> encoded_, inputs_, outputs_, scratch_;
};

template <typename T, int F>
int32_t render_hash_field(const HashFieldData& data, const Rays& rays, const Light& light, Work* work) {
  using Renderer = FieldRenderer<HashField<T, F>>;
  return render_parts(work, rays, light,
                      [&] { return std::make_unique<Renderer>(data.marched, HashField<T, F>(data)); });
}

// Renders the parts of `work`.
inline int32_t render_hash_field(const HashFieldData& data, const Rays& rays, const Light& light,
                                 Work* work) {
  switch (2 * data.features + (data.is_half != 0)) {
    case 2:
      return render_hash_field<float, 1>(data, rays, light, work);
    case 3:
      return render_hash_field<Half, 1>(data, rays, light, work);
    case 4:
      return render_hash_field<float, 2>(data, rays, light, work);
    case 5:
      return render_hash_field<Half, 2>(data, rays, light, work);
    case 8:
      return render_hash_field<float, 4>(data, rays, light, work);
    case 9:
      return render_hash_field<Half, 4>(data, rays, light, work);
    default:
      return WRONG_ARGUMENT;
  }
}

}  // namespace neurocity
