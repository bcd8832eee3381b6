// Renders marched fields (`rendering.marched_field`): groups of rays are followed until no light is left.
//
// In each round the rays of a group that still carry light add their next few samples, so that encoding and
// networks have full tiles to work on although rays differ in length. What a ray gets does not depend on the
// others: sums along it run in its own order, and rows of a tile do not mix.

#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "march.hpp"
#include "mlp.hpp"
#include "rays.hpp"
#include "sky.hpp"
#include "work.hpp"

namespace neurocity {

// What all marched fields have; the jump field is of int8_t.
struct MarchedData {
  MarchSpace space;
  const float* sky;  // weights as `sky_colors` takes them, or null where there is none
  float far, density_scale, visible_weight, least_light;
};

constexpr int GROUP = 128;  // rays that are followed together
constexpr int EACH = 4;     // samples of a ray in a round
constexpr int MOST_SAMPLES = GROUP * EACH;
constexpr int TILE = 48;   // rows that go through a network together
constexpr int BLOCK = 16;  // points that are encoded together
static_assert(TILE % MOST_ROWS == 0 && TILE % BLOCK == 0 && BLOCK % WIDTH == 0 && MOST_SAMPLES % BLOCK == 0);

// x, y, z of points in the unit cube; whole blocks can be read.
using Points = const float* const[3];

// e^x with x in [-15, 15]: what both families make of a network's output; NaN stays.
inline Lanes<WIDTH> density_activation(Lanes<WIDTH> x) {
  const Lanes<WIDTH> value = exponential(max(min(x, Lanes<WIDTH>(15.0f)), Lanes<WIDTH>(-15.0f)));
  return select(x == x, value, x);
}

// 1 / (1 + e^-x); NaN stays.
inline Lanes<WIDTH> sigmoid(Lanes<WIDTH> x) { return select(x == x, 1.0f / (1.0f + exponential(-x)), x); }

// Samples that go through a network together, gathered from among all of a round.
struct Tile {
  int rows = 0;
  int sample[TILE];
  float points[3][TILE] = {};  // in the unit cube; what is behind `rows` can be read
  float* features[TILE];       // of the density, of each
  const float* basis[TILE];    // spherical harmonics of each one's direction
};

// Field: what a point's density and colour are, with memory of its own for TILE rows at a time.
//   int features()                                         floats that it keeps of a sample
//   find_densities(Points, rows, features, log_densities)  features: `features()` from one sample to the next
//   bool is_guided()                                       whether light is followed through another density,
//   float guide_weight()                                   which is looked at above this weight in the first,
//   find_factors(Tile&, log_factors)                       and is so many times it; may replace features
//   find_colors(Tile&, raw[3])                             [3][TILE], before the sigmoid
template <typename Field>
class FieldRenderer {
 public:
  FieldRenderer(const MarchedData& data, Field field)
      : data_(data),
        field_(std::move(field)),
        bounded_(data.space),
        unbounded_(data.space),
        features_(static_cast<size_t>(MOST_SAMPLES + TILE) * field_.features()) {}

  void render_part(const Rays& rays, const Light& light, int64_t part) {
    int number = 0;
    for_each_packet<BLOCK>(rays, part, [&](const Packet<BLOCK>& packet) {
      for (int lane = 0; lane < packet.count; ++lane) {
        ray_[number++] = packet.ray[lane];
        if (number == GROUP) render(rays, light, std::exchange(number, 0));
      }
    });
    if (number) render(rays, light, number);
  }

 private:
  static constexpr int SUMS = 5;  // red, green, blue, weight times depth, weight

  void render(const Rays& rays, const Light& light, int number) {
    begin(rays, number);
    int alive = number;
    while (alive > 0) {
      alive = data_.space.unbounded ? march(unbounded_, alive) : march(bounded_, alive);
      find_weights();
      add_colors();
      const auto is_dark = [&](int r) { return std::min(left_[r], guide_left_[r]) <= data_.least_light; };
      alive = static_cast<int>(std::remove_if(alive_, alive_ + alive, is_dark) - alive_);
    }
    finish(rays, light, number);
  }

  void begin(const Rays& rays, int number) {
    for (int r = 0; r < number; ++r) {
      const float *const origin = rays.origins + 3 * ray_[r], *const direction =
                                                                  rays.directions + 3 * ray_[r];
      marches_[r] = data_.space.unbounded ? unbounded_.begin(origin, direction, 0.5f)
                                          : bounded_.begin(origin, direction, 0.5f);
      alive_[r] = r;
      left_[r] = guide_left_[r] = 1.0f;
      std::fill_n(sums_[r], SUMS, 0.0f);
    }
    for (int first = 0; first < number; first += WIDTH) {
      Lanes<WIDTH> direction[3], basis[MAX_HARMONICS];
      load_directions(rays, first, number, direction);
      spherical_harmonics(direction[0], direction[1], direction[2], MAX_HARMONICS, basis);
      for (int lane = 0; lane < WIDTH; ++lane)
        for (int index = 0; index < MAX_HARMONICS; ++index) basis_[first + lane][index] = basis[index][lane];
    }
  }

  // Those of the group's rays from `first` on; behind the last one, it is repeated.
  void load_directions(const Rays& rays, int first, int number, Lanes<WIDTH> (&direction)[3]) const {
    for (int axis = 0; axis < 3; ++axis)
      for (int lane = 0; lane < WIDTH; ++lane)
        direction[axis].set(lane, rays.directions[3 * ray_[std::min(first + lane, number - 1)] + axis]);
  }

  // Takes the next samples of the rays alive, and keeps those alive that gave all they were asked for.
  template <typename Marcher>
  int march(const Marcher& marcher, int alive) {
    count_ = 0;
    int still = 0;
    for (int i = 0; i < alive; ++i) {
      const int r = alive_[i];
      int taken = 0;
      for (Sample sample; taken < EACH && marcher.next(marches_[r], sample); ++taken, ++count_) {
        for (int axis = 0; axis < 3; ++axis) points_[axis][count_] = sample.point[axis];
        t_[count_] = sample.t;
        delta_[count_] = sample.delta;
        owner_[count_] = r;
      }
      if (taken == EACH) alive_[still++] = r;
    }
    return still;
  }

  float* features(int sample) { return features_.data() + static_cast<size_t>(sample) * field_.features(); }

  // Compositing weights of all samples, and their sums of depth and weight.
  void find_weights() {
    for (int first = 0; first < count_; first += TILE) {
      Points points = {points_[0] + first, points_[1] + first, points_[2] + first};
      field_.find_densities(points, std::min(TILE, count_ - first), features(first), optical_depths_ + first);
    }
    for (int first = 0; first < count_; first += WIDTH) {
      const Lanes<WIDTH> density = density_activation(Lanes<WIDTH>::load(optical_depths_ + first));
      const Lanes<WIDTH> depth =
          density * Lanes<WIDTH>(data_.density_scale) * Lanes<WIDTH>::load(delta_ + first);
      depth.store(optical_depths_ + first);
      absorbed_share(depth).store(weights_ + first);
    }
    if (field_.is_guided()) {
      turn_into_weights(guide_left_);
      follow_guide();
    }
    turn_into_weights(left_);
    for (int s = 0; s < count_; ++s) {
      float* const sums = sums_[owner_[s]];
      sums[3] += weights_[s] * t_[s];
      sums[4] += weights_[s];
    }
  }

  // Turns what samples absorb of the light that reaches them into weights. left: of what has come in, by ray.
  void turn_into_weights(float* left) {
    for (int s = 0; s < count_; ++s) {
      float& rest = left[owner_[s]];
      weights_[s] *= rest;
      rest -= weights_[s];
    }
  }

  // Goes from the weights of the first density to what samples of the guided one absorb.
  void follow_guide() {
    const float least = field_.guide_weight();
    std::fill_n(guided_, count_, 0.0f);
    for_tiles_above(least, [&](Tile& tile) {
      float log_factors[TILE], depths[TILE], guides[TILE], shares[TILE];
      field_.find_factors(tile, log_factors);
      for (int row = 0; row < TILE; ++row) {
        const int s = tile.sample[std::min(row, tile.rows - 1)];
        depths[row] = optical_depths_[s];
        guides[row] = weights_[s];
      }
      for (int first = 0; first < tile.rows; first += WIDTH) {
        // What is seen fades in, up to twice the least weight.
        const Lanes<WIDTH> fade =
            min(Lanes<WIDTH>(1.0f), Lanes<WIDTH>::load(guides + first) / Lanes<WIDTH>(least) - 1.0f);
        absorbed_share(Lanes<WIDTH>::load(depths + first) *
                       density_activation(Lanes<WIDTH>::load(log_factors + first)) * fade)
            .store(shares + first);
      }
      for (int row = 0; row < tile.rows; ++row) guided_[tile.sample[row]] = shares[row];
    });
    std::copy_n(guided_, count_, weights_);
  }

  void add_colors() {
    for_tiles_above(data_.visible_weight, [&](Tile& tile) {
      float colors[3][TILE];
      field_.find_colors(tile, colors);
      for (auto& channel : colors)
        for (int first = 0; first < tile.rows; first += WIDTH)
          sigmoid(Lanes<WIDTH>::load(channel + first)).store(channel + first);
      for (int row = 0; row < tile.rows; ++row) {
        const int s = tile.sample[row];
        for (int channel = 0; channel < 3; ++channel)
          sums_[owner_[s]][channel] += weights_[s] * colors[channel][row];
      }
    });
  }

  // Calls task(tile) for the samples of greater weight.
  template <typename Task>
  void for_tiles_above(float weight, Task task) {
    tile_.rows = 0;
    for (int s = 0; s < count_; ++s) {
      if (!(weights_[s] > weight)) continue;
      const int row = tile_.rows++;
      tile_.sample[row] = s;
      for (int axis = 0; axis < 3; ++axis) tile_.points[axis][row] = points_[axis][s];
      tile_.features[row] = features(s);
      tile_.basis[row] = basis_[owner_[s]];
      if (tile_.rows == TILE) {
        task(tile_);
        tile_.rows = 0;
      }
    }
    if (tile_.rows) task(tile_);
  }

  void finish(const Rays& rays, const Light& light, int number) {
    for (int first = 0; first < number; first += WIDTH) {
      Lanes<WIDTH> sky[3];
      if (data_.sky) {
        Lanes<WIDTH> direction[3];
        load_directions(rays, first, number, direction);
        sky_colors(data_.sky, direction, sky);
      }
      for (int r = first; r < std::min(first + WIDTH, number); ++r) {
        float* const sums = sums_[r];
        if (data_.sky) {
          const float rest = std::max(1.0f - sums[4], 0.0f);
          for (int channel = 0; channel < 3; ++channel) sums[channel] += rest * sky[channel][r - first];
          sums[3] += rest * data_.far;
          sums[4] = 1.0f;
        }
        const float opacity = std::min(sums[4], 1.0f);
        std::copy_n(sums, 3, light.rgb + 3 * ray_[r]);
        light.depth[ray_[r]] = sums[3] / std::max(opacity, 1e-6f);
        light.opacity[ray_[r]] = opacity;
      }
    }
  }

  const MarchedData data_;
  Field field_;
  const Marcher<false, int8_t> bounded_;
  const Marcher<true, int8_t> unbounded_;

  // Of the group's rays.
  int64_t ray_[GROUP];
  RayMarch marches_[GROUP];
  float left_[GROUP], guide_left_[GROUP], sums_[GROUP][SUMS], basis_[GROUP][MAX_HARMONICS];
  int alive_[GROUP];

  // Of the round's samples; what is behind `count_` can be read and written.
  int count_ = 0;
  float points_[3][MOST_SAMPLES + TILE] = {};
  float t_[MOST_SAMPLES], delta_[MOST_SAMPLES + TILE] = {};
  float optical_depths_[MOST_SAMPLES + TILE] = {}, weights_[MOST_SAMPLES + TILE], guided_[MOST_SAMPLES];
  int owner_[MOST_SAMPLES];
  std::vector<float> features_;
  Tile tile_;
};

// Calls of a kernel that renders rays with a renderer that make() gives each thread.
template <typename Make>
int32_t render_parts(Work* work, const Rays& rays, const Light& light, Make make) {
  return share(work, [&, renderer = decltype(make()){}](int64_t part) mutable {
    if (!renderer) renderer = make();
    renderer->render_part(rays, light, part);
  });
}

}  // namespace neurocity
