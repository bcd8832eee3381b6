// Small networks without biases, ReLU between their layers (`mlp.MLP`), for some rows at a time.

#pragma once

#include <algorithm>
#include <vector>

#include "lanes.hpp"

namespace neurocity {

// Rows that are multiplied at once, and the most vectors of outputs: their sums fill the registers.
constexpr int ROWS = 6;
constexpr int VECTORS = REGISTERS == 32 ? 4 : 2;

// Rows of a network's inputs or outputs, `stride` floats from one to the next.
struct Rows {
  float* values;
  int stride;
};

class Layer {
 public:
  // weights [outputs, inputs], row after row.
  Layer(const float* weights, int inputs, int outputs)
      : inputs_(inputs), width_(whole(outputs)), weights_(static_cast<size_t>(inputs) * width_) {
    for (int output = 0; output < outputs; ++output)
      for (int input = 0; input < inputs; ++input)
        weights_[input * width_ + output] = weights[output * inputs + input];
  }

  // Floats of a row of outputs, those that fill the last vector included.
  int width() const { return width_; }

  // Writes whole groups of ROWS rows, so that up to ROWS - 1 rows after `count` are written too.
  void apply(Rows in, Rows out, int count, bool relu) const {
    for (int row = 0; row < count; row += ROWS)
      for (int first = 0; first < width_; first += VECTORS * LANES) {
        const float* input = in.values + row * in.stride;
        float* output = out.values + row * out.stride + first;
        switch (std::min((width_ - first) / LANES, VECTORS)) {
          case 1:
            multiply<1>(input, in.stride, output, out.stride, first, relu);
            break;
          case 2:
            multiply<2>(input, in.stride, output, out.stride, first, relu);
            break;
          case 3:
            multiply<3>(input, in.stride, output, out.stride, first, relu);
            break;
          default:
            multiply<VECTORS>(input, in.stride, output, out.stride, first, relu);
        }
      }
  }

 private:
  template <int COLUMNS>
  void multiply(const float* in, int in_stride, float* out, int out_stride, int first, bool relu) const {
    Lanes sums[ROWS][COLUMNS] = {};
    const float* weights = weights_.data() + first;
    for (int input = 0; input < inputs_; ++input, weights += width_) {
      Lanes column[COLUMNS];
      for (int c = 0; c < COLUMNS; ++c) column[c] = load(weights + c * LANES);
      for (int r = 0; r < ROWS; ++r) {
        const Lanes value = all(in[r * in_stride + input]);
        for (int c = 0; c < COLUMNS; ++c) sums[r][c] = fused(value, column[c], sums[r][c]);
      }
    }
    for (int r = 0; r < ROWS; ++r)
      for (int c = 0; c < COLUMNS; ++c) {
        float* place = out + r * out_stride + c * LANES;
        store(place, sums[r][c]);
        if (relu)
          for (int lane = 0; lane < LANES; ++lane) place[lane] = std::max(place[lane], 0.0f);
      }
  }

  int inputs_, width_;
  std::vector<float> weights_;
};

class Network {
 public:
  // weights: those of all layers, one after the other; widths: of the inputs and of each layer's outputs.
  Network(const float* weights, const std::vector<int>& widths) {
    for (size_t layer = 1; layer < widths.size(); ++layer) {
      layers_.emplace_back(weights, widths[layer - 1], widths[layer]);
      weights += static_cast<size_t>(widths[layer - 1]) * widths[layer];
      widest_ = std::max(widest_, layers_.back().width());
    }
  }

  // Floats of a row of outputs.
  int width() const { return layers_.back().width(); }

  // Floats of scratch that `apply` needs for `count` rows, which ROWS divides.
  size_t scratch(int count) const { return 2 * static_cast<size_t>(count) * widest_; }

  void apply(Rows in, Rows out, int count, float* scratch) const {
    float* const other = scratch + static_cast<size_t>(widest_) * ((count + ROWS - 1) / ROWS * ROWS);
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const bool is_last = layer + 1 == layers_.size();
      const Rows next = is_last ? out : Rows{layer % 2 ? other : scratch, layers_[layer].width()};
      layers_[layer].apply(in, next, count, !is_last);
      in = next;
    }
  }

 private:
  std::vector<Layer> layers_;
  int widest_ = 0;
};

}  // namespace neurocity
