// Small networks without biases, ReLU between their layers (`rendering.mlp.MLP`), for some rows at a time.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes.hpp"

namespace neurocity {

// Rows of one layer are multiplied in groups that divide this, so that their sums fill the registers.
constexpr int MOST_ROWS = 12;

// Rows of a network's inputs or outputs, `stride` floats from one to the next.
struct Rows {
  float* values;
  int stride;
};

// A network as it is handed over: weights [outputs, inputs] of all layers, one after the other; widths
// [layers + 1]: of the inputs and of each layer's outputs.
struct NetworkData {
  const float* weights;
  const int32_t* widths;
  int64_t layers;
};

class Layer {
 public:
  // weights [outputs, inputs], row after row.
  Layer(const float* weights, int inputs, int outputs)
      : inputs_(inputs),
        width_((outputs + WIDTH - 1) / WIDTH * WIDTH),
        weights_(static_cast<size_t>(inputs) * width_) {
    for (int output = 0; output < outputs; ++output)
      for (int input = 0; input < inputs; ++input)
        weights_[input * width_ + output] = weights[output * inputs + input];
  }

  // Floats of a row of outputs, those that fill the last vector included.
  int width() const { return width_; }

  // Writes whole groups of MOST_ROWS rows, so that up to MOST_ROWS - 1 rows after `count` are read and
  // written.
  void apply(Rows in, Rows out, int count, bool relu) const {
    int first = 0;
    for (; first + MOST_COLUMNS * WIDTH <= width_; first += MOST_COLUMNS * WIDTH)
      multiply_all<MOST_COLUMNS>(in, out, count, first, relu);
    if (MOST_COLUMNS > 2 && first + 2 * WIDTH <= width_) {
      multiply_all<2>(in, out, count, first, relu);
      first += 2 * WIDTH;
    }
    if (first < width_) multiply_all<1>(in, out, count, first, relu);
  }

 private:
  // Vectors of outputs that are summed at once.
#if defined(__AVX512F__)
  static constexpr int MOST_COLUMNS = 4, SUMS = 24;
#else
  static constexpr int MOST_COLUMNS = 2, SUMS = 12;
#endif

  template <int COLUMNS>
  void multiply_all(Rows in, Rows out, int count, int first, bool relu) const {
    constexpr int ROWS = std::min(SUMS / COLUMNS, MOST_ROWS);
    for (int row = 0; row < count; row += ROWS)
      multiply<ROWS, COLUMNS>(in.values + row * in.stride, in.stride, out.values + row * out.stride + first,
                              out.stride, first, relu);
  }

  template <int ROWS, int COLUMNS>
  void multiply(const float* in, int in_stride, float* out, int out_stride, int first, bool relu) const {
    Lanes<WIDTH> sums[ROWS][COLUMNS];
    for (int r = 0; r < ROWS; ++r)
      for (int c = 0; c < COLUMNS; ++c) sums[r][c] = 0.0f;
    const float* weights = weights_.data() + first;
    for (int input = 0; input < inputs_; ++input, weights += width_) {
      Lanes<WIDTH> column[COLUMNS];
      for (int c = 0; c < COLUMNS; ++c) column[c] = Lanes<WIDTH>::load(weights + c * WIDTH);
      for (int r = 0; r < ROWS; ++r) {
        const Lanes<WIDTH> value(in[r * in_stride + input]);
        for (int c = 0; c < COLUMNS; ++c) sums[r][c] = fused(value, column[c], sums[r][c]);
      }
    }
    for (int r = 0; r < ROWS; ++r)
      for (int c = 0; c < COLUMNS; ++c) {
        if (relu) sums[r][c] = max(Lanes<WIDTH>(0.0f), sums[r][c]);  // NaN stays
        sums[r][c].store(out + r * out_stride + c * WIDTH);
      }
  }

  int inputs_, width_;
  std::vector<float> weights_;
};

class Network {
 public:
  explicit Network(const NetworkData& data) {
    const float* weights = data.weights;
    for (int64_t layer = 0; layer < data.layers; ++layer) {
      layers_.emplace_back(weights, data.widths[layer], data.widths[layer + 1]);
      weights += static_cast<size_t>(data.widths[layer]) * data.widths[layer + 1];
      widest_ = std::max(widest_, layers_.back().width());
    }
  }

  // Floats of a row of outputs; 0 of a network without layers.
  int width() const { return layers_.empty() ? 0 : layers_.back().width(); }

  // Floats of scratch that `apply` needs for `count` rows, which MOST_ROWS divides.
  size_t scratch(int count) const { return 2 * static_cast<size_t>(count) * widest_; }

  // in, out: `count` rows and up to MOST_ROWS - 1 after them, which may hold anything.
  void apply(Rows in, Rows out, int count, float* scratch) const {
    float* const other =
        scratch + static_cast<size_t>(widest_) * ((count + MOST_ROWS - 1) / MOST_ROWS * MOST_ROWS);
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
