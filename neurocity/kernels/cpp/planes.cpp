// Training's passes through `planes.hpp`: features of points, and the gradients of both tables.

#include "planes.hpp"

#include <algorithm>

#include "point_blocks.hpp"
#include "work.hpp"

namespace {

using namespace neurocity;

struct PlaneArguments {
  const float* points;  // [3, count]
  int64_t count;
  const float* planes;    // [plane_rows, components]
  const float* lines;     // [line_rows, components]
  const int32_t* axes;    // [parts, 3]
  const int32_t* sizes;   // [parts, 3]
  const int32_t* starts;  // [parts, 2], rising
  int64_t plane_rows;
  int64_t line_rows;
  int64_t parts;
  int64_t components;
  float* values;           // [count, parts components]: written, or the gradient with respect to them
  float* plane_gradients;  // as `planes`, written
  float* line_gradients;   // as `lines`, written
};

template <int C>
PlaneLines<float, C> features_of(const PlaneArguments& call) {
  return {call.planes, call.lines, call.axes, call.sizes, call.starts, call.parts, call.components};
}

template <int C>
void encode(const PlaneArguments& call, int64_t begin, int64_t end) {
  using Features = PlaneLines<float, C>;
  const Features features = features_of<C>(call);
  const int64_t width = call.parts * features.width();
  for_each_block<Features::BLOCK>(call.points, call.count, begin, end,
                                  [&](int64_t first, int count, const float* const points[3]) {
                                    features.encode(points, count, call.values + first * width, width);
                                  });
}

// Adds share * gradient to a row.
template <int N>
void add(float* row, float share, Lanes<N> gradient) {
  fused(gradient, Lanes<N>(share), Lanes<N>::load(row)).store(row);
}

// Rows that a point reads of a part and components from the first one of N on, and those of the gradients.
struct PointRows {
  const float *plane, *line, *gradient;
  float *plane_gradient, *line_gradient;
  int64_t next_u, next_v;
  float u, v, w;
};

template <int N>
void add_gradients(const PointRows& at, int64_t c) {
  const float shares[4] = {(1.0f - at.u) * (1.0f - at.v), at.u * (1.0f - at.v), (1.0f - at.u) * at.v,
                           at.u * at.v};
  const int64_t places[4] = {c, at.next_u + c, at.next_v + c, at.next_v + at.next_u + c};
  Lanes<N> on_plane = Lanes<N>::load(at.plane + places[0]) * Lanes<N>(shares[0]);
  for (int corner = 1; corner < 4; ++corner)
    on_plane = fused(Lanes<N>::load(at.plane + places[corner]), Lanes<N>(shares[corner]), on_plane);
  const Lanes<N> on_line = fused(Lanes<N>::load(at.line + at.next_u + c), Lanes<N>(at.w),
                                 Lanes<N>::load(at.line + c) * Lanes<N>(1.0f - at.w));
  const Lanes<N> gradient = Lanes<N>::load(at.gradient + c);
  const Lanes<N> to_plane = gradient * on_line, to_line = gradient * on_plane;
  for (int corner = 0; corner < 4; ++corner)
    add(at.plane_gradient + places[corner], shares[corner], to_plane);
  add(at.line_gradient + c, 1.0f - at.w, to_line);
  add(at.line_gradient + at.next_u + c, at.w, to_line);
}

// The rows of a part belong to one thread, which adds up in the order of the points.
template <int C>
void add_gradients(const PlaneArguments& call, int64_t part) {
  using Features = PlaneLines<float, C>;
  const Features features = features_of<C>(call);
  const int64_t components = features.width(), width = call.parts * components;
  const auto clear = [&](float* gradients, int table, int64_t rows) {
    const int64_t begin = call.starts[2 * part + table];
    const int64_t end = part + 1 < call.parts ? call.starts[2 * part + 2 + table] : rows;
    std::fill_n(gradients + begin * components, (end - begin) * components, 0.0f);
  };
  clear(call.plane_gradients, 0, call.plane_rows);
  clear(call.line_gradients, 1, call.line_rows);
  for_each_block<Features::BLOCK>(
      call.points, call.count, 0, call.count, [&](int64_t first, int count, const float* const points[3]) {
        typename Features::Cells cells;
        features.find_cells(part, points, cells);
        for (int n = 0; n < count; ++n) {
          const int64_t plane = cells.plane[n] * components, line = cells.line[n] * components;
          const PointRows rows{call.planes + plane,
                               call.lines + line,
                               call.values + (first + n) * width + part * components,
                               call.plane_gradients + plane,
                               call.line_gradients + line,
                               components,
                               call.sizes[3 * part] * components,
                               cells.u[n],
                               cells.v[n],
                               cells.w[n]};
          if constexpr (C > 0)
            add_gradients<C>(rows, 0);
          else
            for (int64_t c = 0; c < components; ++c) add_gradients<1>(rows, c);
        }
      });
}

// Calls task(number) with the number of components as a constant, 0 for those that have no code of their own.
template <typename Task>
void with_components(int64_t components, Task task) {
  switch (components) {
    case 4:
      return task(std::integral_constant<int, 4>{});
    case 8:
      return task(std::integral_constant<int, 8>{});
    case 16:
      return task(std::integral_constant<int, 16>{});
    default:
      return task(std::integral_constant<int, 0>{});
  }
}

}  // namespace

// Parts of PART_POINTS points.
NEUROCITY_EXPORT int32_t nc_encode_planes(const PlaneArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t part) {
    const int64_t begin = part * PART_POINTS, end = std::min(begin + PART_POINTS, call->count);
    with_components(call->components,
                    [&](auto number) { encode<decltype(number)::value>(*call, begin, end); });
  });
}

// A part is a plane with its line.
NEUROCITY_EXPORT int32_t nc_plane_gradients(const PlaneArguments* call, neurocity::Work* work) {
  return neurocity::share(work, [&](int64_t part) {
    with_components(call->components,
                    [&](auto number) { add_gradients<decltype(number)::value>(*call, part); });
  });
}
