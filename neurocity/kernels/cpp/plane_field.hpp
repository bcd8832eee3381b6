// The field of Grid-NeRF: planes with lines, and the networks of its grid branch or of both branches.

#pragma once

#include "field.hpp"
#include "planes.hpp"
#include "positions.hpp"

namespace neurocity {

// One of the field's two sets of features; tables of float, or of Half, as in `PlaneLines`.
struct PlaneData {
  const void *planes, *lines;
  const int32_t *sizes, *starts;
  int64_t components;
};

// axes [parts, 3]: of the planes and lines of both sets.
// density_net, color_net: the grid branch, where color_net takes appearance and a direction's basis. With
// `frequencies` the NeRF branch is rendered: trunk takes positions and density features, and gives the
// log-factor and, before ReLU, the hidden layer; color_net takes that, appearance and basis.
struct PlaneFieldData {
  MarchedData marched;
  PlaneData density, appearance;
  const int32_t* axes;
  int64_t parts, frequencies;
  int32_t is_half;
  float extents[3], guide_weight;
  NetworkData density_net, trunk, color_net;
};

struct PlaneFieldCall {
  PlaneFieldData field;
  Rays rays;
  Light light;
};

class PlaneField {
 public:
  explicit PlaneField(const PlaneFieldData& data)
      : data_(data),
        density_(data.density_net),
        trunk_(data.trunk),
        color_(data.color_net),
        density_width_(static_cast<int>(data.parts * data.density.components)),
        appearance_width_(static_cast<int>(data.parts * data.appearance.components)),
        hidden_(is_guided() ? data.trunk.widths[data.trunk.layers] - 1 : 0),
        position_width_(static_cast<int>(6 * data.frequencies)),
        inputs_(TILE * std::max(position_width_ + density_width_, color_inputs())),
        outputs_(TILE * std::max({density_.width(), trunk_.width(), color_.width()})),
        scratch_(std::max({density_.scratch(TILE), trunk_.scratch(TILE), color_.scratch(TILE)})) {}

  int features() const { return std::max(density_width_, hidden_); }
  bool is_guided() const { return data_.frequencies > 0; }
  float guide_weight() const { return data_.guide_weight; }

  void find_densities(Points points, int rows, float* features, float* log_densities) {
    put_in_box(points);
    encode(data_.density, rows, features, this->features());
    density_.apply({features, this->features()}, {outputs_.data(), density_.width()}, rows, scratch_.data());
    for (int row = 0; row < rows; ++row) log_densities[row] = outputs_[row * density_.width()];
  }

  void find_factors(Tile& tile, float* log_factors) {
    const int width = position_width_ + density_width_;
    Points points = {tile.points[0], tile.points[1], tile.points[2]};
    put_in_box(points);
    for (int first = 0; first < tile.rows; first += WIDTH) {
      const float* const block[3] = {in_box_[0] + first, in_box_[1] + first, in_box_[2] + first};
      encode_positions<WIDTH>(block, WIDTH, static_cast<int>(data_.frequencies),
                              inputs_.data() + first * width, width);
    }
    for (int row = 0; row < tile.rows; ++row)
      std::copy_n(tile.features[row], density_width_, inputs_.data() + row * width + position_width_);
    trunk_.apply({inputs_.data(), width}, {outputs_.data(), trunk_.width()}, tile.rows, scratch_.data());
    for (int row = 0; row < tile.rows; ++row) {
      const float* const out = outputs_.data() + row * trunk_.width();
      log_factors[row] = out[0];
      for (int unit = 0; unit < hidden_; ++unit) tile.features[row][unit] = std::max(out[1 + unit], 0.0f);
    }
  }

  void find_colors(Tile& tile, float (&raw)[3][TILE]) {
    const int width = color_inputs(), stride = color_.width();
    Points points = {tile.points[0], tile.points[1], tile.points[2]};
    put_in_box(points);
    encode(data_.appearance, tile.rows, inputs_.data() + hidden_, width);
    for (int row = 0; row < tile.rows; ++row) {
      float* const input = inputs_.data() + row * width;
      std::copy_n(tile.features[row], hidden_, input);
      std::copy_n(tile.basis[row], MAX_HARMONICS, input + hidden_ + appearance_width_);
    }
    color_.apply({inputs_.data(), width}, {outputs_.data(), stride}, tile.rows, scratch_.data());
    for (int channel = 0; channel < 3; ++channel)
      for (int row = 0; row < TILE; ++row) raw[channel][row] = outputs_[row * stride + channel];
  }

 private:
  int color_inputs() const { return hidden_ + appearance_width_ + MAX_HARMONICS; }

  // Sets `in_box_` to TILE points of the unit cube as they lie along the box; NaN stays.
  void put_in_box(Points points) {
    for (int axis = 0; axis < 3; ++axis)
      for (int first = 0; first < TILE; first += WIDTH) {
        const Lanes<WIDTH> place =
            Lanes<WIDTH>::load(points[axis] + first) / Lanes<WIDTH>(data_.extents[axis]);
        max(Lanes<WIDTH>(0.0f), min(Lanes<WIDTH>(1.0f), place)).store(in_box_[axis] + first);
      }
  }

  void encode(const PlaneData& data, int rows, float* features, int stride) const {
    if (data_.is_half)
      encode_as<Half>(data, rows, features, stride);
    else
      encode_as<float>(data, rows, features, stride);
  }

  template <typename T>
  void encode_as(const PlaneData& data, int rows, float* features, int stride) const {
    switch (data.components) {
      case 4:
        return encode_as<T, 4>(data, rows, features, stride);
      case 8:
        return encode_as<T, 8>(data, rows, features, stride);
      case 16:
        return encode_as<T, 16>(data, rows, features, stride);
      default:
        return encode_as<T, 0>(data, rows, features, stride);
    }
  }

  template <typename T, int C>
  void encode_as(const PlaneData& data, int rows, float* features, int stride) const {
    const PlaneLines<T, C> lines{static_cast<const T*>(data.planes),
                                 static_cast<const T*>(data.lines),
                                 data_.axes,
                                 data.sizes,
                                 data.starts,
                                 data_.parts,
                                 data.components};
    for (int first = 0; first < rows; first += BLOCK) {
      const float* const block[3] = {in_box_[0] + first, in_box_[1] + first, in_box_[2] + first};
      lines.encode(block, std::min(BLOCK, rows - first), features + first * stride, stride);
    }
  }

  const PlaneFieldData data_;
  Network density_, trunk_, color_;
  int density_width_, appearance_width_, hidden_, position_width_;
  std::vector<float> inputs_, outputs_, scratch_;
  float in_box_[3][TILE];
};

// Renders the parts of `work`.
inline int32_t render_plane_field(const PlaneFieldData& data, const Rays& rays, const Light& light,
                                  Work* work) {
  return render_parts(work, rays, light, [&] {
    return std::make_unique<FieldRenderer<PlaneField>>(data.marched, PlaneField(data));
  });
}

}  // namespace neurocity
