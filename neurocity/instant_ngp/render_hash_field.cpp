// The render graph of Instant-NGP for compiled packages: groups of rays are followed until no light is left.
//
// In each round the rays of a group that still carry light add their next few samples, so that encoding and
// networks have full tiles to work on although rays differ in length.

#include <cmath>
#include <vector>

#include "../rendering/native/hash_grid.hpp"
#include "../rendering/native/march.hpp"
#include "../rendering/native/mlp.hpp"

namespace {

using namespace neurocity;

constexpr int GROUP = 64;  // rays that are followed together
constexpr int EACH = 8;    // samples of a ray in a round
constexpr int MOST = GROUP * EACH;
constexpr int TILE = 8 * ROWS;  // rows that go through a network together
constexpr int BASIS = 16;       // spherical harmonics of a direction
constexpr int SUMS = 5;         // red, green, blue, weight times depth, weight

struct Limits {
  float density_scale, visible_weight, least_light;
};

template <typename T, int F>
struct Field {
  HashGrid<T, F> grid;
  Network density, color;
  int geometry;
  Limits limits;
};

template <typename T, int F>
class Group {
 public:
  Group(const Field<T, F>& field, const Marcher& marcher, const View<float>& basis)
      : field_(field),
        marcher_(marcher),
        basis_(basis),
        inputs_(TILE * std::max<int64_t>(field.grid.levels * F, field.geometry + BASIS)),
        geometry_((MOST + TILE) * field.density.width()),
        outputs_(TILE * field.color.width()),
        scratch_(std::max(field.density.scratch(TILE), field.color.scratch(TILE))) {}

  // Renders rays [begin, end), at most GROUP, into the columns of out [SUMS, R].
  void render(int64_t begin, int64_t end, const View<float>& out) {
    first_ray_ = begin;
    const int number = static_cast<int>(end - begin);
    int alive = 0;
    for (int r = 0; r < number; ++r) {
      rays_[r] = marcher_.ray(begin + r);
      left_[r] = 1.0f;
      std::fill_n(sums_[r], SUMS, 0.0f);
      alive_[alive++] = r;
    }
    while (alive > 0) {
      alive = march(alive);
      find_densities();
      weigh();
      shade();
      alive = static_cast<int>(std::remove_if(alive_, alive_ + alive,
                                              [&](int r) { return left_[r] <= field_.limits.least_light; }) -
                               alive_);
    }
    for (int r = 0; r < number; ++r)
      for (int sum = 0; sum < SUMS; ++sum) out(sum, begin + r) = sums_[r][sum];
  }

 private:
  // Takes the next samples of the rays alive, and keeps those alive that gave all they were asked for.
  int march(int alive) {
    count_ = 0;
    int still = 0;
    for (int i = 0; i < alive; ++i) {
      const int r = alive_[i];
      int taken = 0;
      while (taken < EACH && marcher_.next(rays_[r], samples_[count_])) {
        ray_[count_++] = r;
        ++taken;
      }
      if (taken == EACH) alive_[still++] = r;
    }
    return still;
  }

  float* geometry(int sample) {
    return geometry_.data() + static_cast<size_t>(sample) * field_.density.width();
  }

  void find_densities() {
    const int width = static_cast<int>(field_.grid.levels) * F;
    for (int begin = 0; begin < count_; begin += TILE) {
      const int rows = std::min(TILE, count_ - begin);
      for (int row = 0; row < rows; ++row)
        field_.grid.encode(samples_[begin + row].point, inputs_.data() + static_cast<size_t>(row) * width);
      field_.density.apply({inputs_.data(), width}, {geometry(begin), field_.density.width()}, rows,
                           scratch_.data());
    }
  }

  // Compositing weights of all samples, front to back, and their sums of depth and weight.
  void weigh() {
    for (int s = 0; s < count_; ++s) {
      const float raw = std::min(std::max(geometry(s)[0], -15.0f), 15.0f);
      const float tau = std::exp(raw) * field_.limits.density_scale * samples_[s].delta;
      float* const sums = sums_[ray_[s]];
      float& left = left_[ray_[s]];
      weights_[s] = left * -std::expm1(-tau);
      left -= weights_[s];
      sums[3] += weights_[s] * samples_[s].t;
      sums[4] += weights_[s];
    }
  }

  // Adds the colours of all samples that can be seen.
  void shade() {
    int rows = 0, seen[TILE];
    for (int s = 0; s < count_; ++s) {
      if (weights_[s] > field_.limits.visible_weight) seen[rows++] = s;
      if (rows == TILE || (rows && s + 1 == count_)) {
        shade(seen, rows);
        rows = 0;
      }
    }
  }

  void shade(const int* seen, int rows) {
    const int width = field_.geometry + BASIS;
    for (int row = 0; row < rows; ++row) {
      float* const input = inputs_.data() + static_cast<size_t>(row) * width;
      std::copy_n(geometry(seen[row]), field_.geometry, input);
      for (int index = 0; index < BASIS; ++index)
        input[field_.geometry + index] = basis_(first_ray_ + ray_[seen[row]], index);
    }
    field_.color.apply({inputs_.data(), width}, {outputs_.data(), field_.color.width()}, rows,
                       scratch_.data());
    for (int row = 0; row < rows; ++row) {
      const float* const raw = outputs_.data() + static_cast<size_t>(row) * field_.color.width();
      for (int channel = 0; channel < 3; ++channel)
        sums_[ray_[seen[row]]][channel] += weights_[seen[row]] / (1.0f + std::exp(-raw[channel]));
    }
  }

  const Field<T, F>& field_;
  const Marcher& marcher_;
  const View<float>& basis_;
  int64_t first_ray_ = 0;
  int count_ = 0;
  RayMarch rays_[GROUP];
  float left_[GROUP], sums_[GROUP][SUMS];
  int alive_[GROUP];
  Sample samples_[MOST + 1];
  int ray_[MOST];
  float weights_[MOST];
  std::vector<float> inputs_, geometry_, outputs_, scratch_;
};

template <typename T, int F>
void render_all(const Field<T, F>& field, const Marcher& marcher, const View<float>& basis,
                const View<float>& out) {
  in_parallel(marcher.rays(), GROUP, [&](int64_t begin, int64_t end) {
    Group<T, F>(field, marcher, basis).render(begin, end, out);
  });
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_render_hash_field(
    AtenTensorHandle origins, AtenTensorHandle directions, AtenTensorHandle starts, AtenTensorHandle counts,
    AtenTensorHandle jump, AtenTensorHandle edges, AtenTensorHandle low, AtenTensorHandle center,
    int64_t grid, int64_t unbounded, double step, double side, double near, double growth,
    AtenTensorHandle basis, AtenTensorHandle table, AtenTensorHandle scales, AtenTensorHandle axis_factors,
    int64_t dense_levels, int64_t is_xor, AtenTensorHandle density_weights, AtenTensorHandle color_weights,
    int64_t hidden, int64_t geometry, int64_t color_layers, double density_scale, double visible_weight,
    double least_light, AtenTensorHandle* result) {
  return reported("render_hash_field", [&] {
    const View<float> lattice_edges = packed<float>(edges);
    const Marcher marcher{view<float>(origins),
                          view<float>(directions),
                          view<float>(starts),
                          view<float>(counts),
                          packed<float>(jump).data,
                          lattice_edges.data,
                          packed<float>(low).data,
                          packed<float>(center).data,
                          lattice_edges.sizes[0] - 1,
                          grid,
                          unbounded != 0,
                          float(step),
                          float(side),
                          float(near),
                          float(growth)};
    const View<float> planes = view<float>(basis);
    const auto run = [&](auto element, auto features) {
      using T = decltype(element);
      constexpr int F = decltype(features)::value;
      const View<T> rows = packed<T>(table);
      const int levels = static_cast<int>(rows.sizes[0]), width = static_cast<int>(hidden);
      std::vector<int> colors{static_cast<int>(geometry) + BASIS};
      colors.insert(colors.end(), color_layers, width);
      colors.push_back(3);
      const Field<T, F> field{
          {rows.data, packed<float>(scales).data, packed<int64_t>(axis_factors).data, levels, rows.sizes[1],
           dense_levels, is_xor != 0},
          Network(packed<float>(density_weights).data, {levels * F, width, static_cast<int>(geometry)}),
          Network(packed<float>(color_weights).data, colors),
          static_cast<int>(geometry),
          {float(density_scale), float(visible_weight), float(least_light)}};
      render_all(field, marcher, planes, new_plane(SUMS, marcher.rays(), result));
    };
    const auto run_features = [&](auto element) {
      switch (size(table, 2)) {
        case 1:
          return run(element, std::integral_constant<int, 1>{});
        case 2:
          return run(element, std::integral_constant<int, 2>{});
        case 4:
          return run(element, std::integral_constant<int, 4>{});
        default:
          throw std::runtime_error("expected 1, 2 or 4 features a level");
      }
    };
    if (is_half(table))
      run_features(Half{});
    else
      run_features(0.0f);
  });
}
