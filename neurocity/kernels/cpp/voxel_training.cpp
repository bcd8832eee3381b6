// Rays of training from sparse voxels to light, and back to gradients of densities and colours.
//
// The arithmetic is that of `svraster.training.differentiable`. The way back has two kinds of parts: those of
// the rays find what each visited voxel gets, summed over the rays of a packet; owners of rows add it up.

#include <limits>

#include "rays.hpp"
#include "voxel_tape.hpp"
#include "voxels.hpp"
#include "work.hpp"

namespace neurocity {
namespace {

struct VoxelTrainingArguments {
  Rays rays;
  const float* photograph;    // [R, 3]
  const float* pixel_widths;  // [R], at unit distance
  const int32_t* children;
  const int32_t* voxel_points;
  const float* density;
  const float* sh0;
  const float* shs;
  VoxelTape* tape;
  // What is computed on the way along the rays: [R, 3], then [R] each, and a number for each part.
  float* rgb;
  float* opacity;
  float* concentration;
  float* distortion;
  int64_t* evaluated;
  // Gradients by these, then those that are added to, and statistics of voxels.
  const float* rgb_slopes;
  const float* opacity_slopes;
  const float* concentration_slopes;
  const float* distortion_slopes;
  float* density_gradient;
  float* sh0_gradient;
  float* shs_gradient;
  float* priority;
  float* weight;
  float* footprint;
  float root_low[3];
  float root_side;
  float near;
  float density_scale;
  float distance_unit;
  float least_light;
  int32_t harmonics;  // of the model
  int32_t harmonics_in_use;
  int32_t samples;
  int32_t distorting;  // whether distortion is computed
};

struct ColorsInUse {
  VoxelTensors tensors;
  int harmonics;

  Lanes<4> coefficients(int32_t voxel, int harmonic) const { return tensors.coefficients(voxel, harmonic); }
};

VoxelTensors tensors_of(const VoxelTrainingArguments& pass) {
  return {pass.density, pass.voxel_points, pass.sh0, pass.shs, pass.harmonics};
}

template <int N>
size_t numbers_of_visit(int samples) {
  return sizeof(Visit<N>) / sizeof(float) + size_t(samples) * N;
}

// The same number of each ray of a packet.
template <int N>
Lanes<N> of_rays(const Packet<N>& packet, const float* numbers) {
  Lanes<N> result;
  for (int lane = 0; lane < N; ++lane) result.set(lane, numbers[packet.ray[lane]]);
  return result;
}

// Where distances are in units of 1, contracted to [0, 2).
template <int N>
Lanes<N> contracted(Lanes<N> distance) {
  return select(distance < Lanes<N>(1.0f), distance, 2.0f - 1.0f / distance);
}

// Begin and length of intervals in contracted distances.
template <int N>
void contract(const Visit<N>& visit, float unit, Lanes<N>& middle, Lanes<N>& length) {
  const Lanes<N> first = contracted(visit.begin / unit), last = contracted(visit.end / unit);
  middle = 0.5f * (first + last);
  length = last - first;
}

template <int N>
void trace(const VoxelTrainingArguments& pass, const Packet<N>& packet, PartTape& tape, int64_t& evaluated) {
  const UnitRays<N> rays(pass.rays, packet, pass.root_low, pass.root_side);
  const ColorsInUse colors{tensors_of(pass), pass.harmonics_in_use};
  const float seen = 1.0f / (1.0f - pass.least_light);
  const Lanes<N> least = pass.least_light;
  Lanes<N> photograph[3];
  for (int channel = 0; channel < 3; ++channel)
    photograph[channel] = packet.component(pass.photograph, channel);
  Lanes<N> left = 1.0f, rgb[3] = {0.0f, 0.0f, 0.0f}, spread = 0.0f, apart = 0.0f, met = 0.0f;
  Lanes<N> weight_in_front = 0.0f, moment_in_front = 0.0f;
  int32_t visits = 0;
  const auto shade = [&](const Voxel& voxel, Lanes<N> begin, Lanes<N> end, Mask<N> active) {
    float* const note = tape.notes.add(numbers_of_visit<N>(pass.samples));
    float* const slopes = note + sizeof(Visit<N>) / sizeof(float);
    ++visits;
    met += select(active, Lanes<N>(1.0f), Lanes<N>(0.0f));
    end = select(active, end, begin);
    const Corners corners = colors.tensors.corners(voxel.index);
    const VoxelSamples<N> samples(voxel, rays.eye, rays.speed, begin, end, pass.samples);
    Lanes<N> total = 0.0f;
    for (int sample = 0; sample < pass.samples; ++sample) {
      Lanes<N> place[3];
      samples.place(sample, place);
      const Lanes<N> raw = interpolate(corners, place), activated = explin(raw);
      total += activated;
      explin_slope(raw, activated).store(slopes + sample * N);
    }
    const Lanes<N> absorbed = left * one_minus_exponential(total * samples.width * pass.density_scale);
    const Lanes<N> weight = max(min(absorbed, left - least), Lanes<N>(0.0f)) * seen;
    left -= absorbed;
    const Lanes<4> color = voxel_color(colors, voxel, rays.eye, 1.0f);
    const Visit<N> visit{voxel, {color[0], color[1], color[2]}, begin, end, left};
    std::memcpy(note, &visit, sizeof visit);
    Lanes<N> error = 0.0f;
    for (int channel = 0; channel < 3; ++channel) {
      rgb[channel] = fused(weight, Lanes<N>(color[channel]), rgb[channel]);
      const Lanes<N> difference = color[channel] - photograph[channel];
      error = fused(difference, difference, error);
    }
    spread = fused(weight, error, spread);
    if (pass.distorting) {
      Lanes<N> middle, length;
      contract(visit, pass.distance_unit, middle, length);
      apart += 2.0f * weight * (middle * weight_in_front - moment_in_front);
      apart += weight * weight * length * (1.0f / 3.0f);
      weight_in_front += weight;
      moment_in_front += weight * middle;
    }
    return left > least;
  };
  CubeRays<N> cube(rays.eye, rays.inverse, pass.near);
  cube.keep_first(packet.count);
  walk(Octree{pass.children}, cube, shade);
  tape.visits.push_back(visits);
  const Lanes<N> opacity = 1.0f - max(left - least, Lanes<N>(0.0f)) * seen;
  for (int lane = 0; lane < packet.count; ++lane) {
    const int64_t ray = packet.ray[lane];
    for (int channel = 0; channel < 3; ++channel) pass.rgb[ray * 3 + channel] = rgb[channel][lane];
    pass.opacity[ray] = opacity[lane];
    pass.concentration[ray] = spread[lane];
    pass.distortion[ray] = apart[lane];
    evaluated += static_cast<int64_t>(met[lane]);
  }
}

// Adds the gradients of a voxel's densities by way of its samples, summed over rays, to `corners`.
template <int N>
void add_to_corners(const VoxelSamples<N>& samples, const float* slopes, Lanes<N> gradient,
                    Lanes<N>* corners) {
  const Lanes<N> one = 1.0f, zero = 0.0f;
  for (int sample = 0; sample < samples.count; ++sample) {
    Lanes<N> place[3];
    samples.place(sample, place);
    for (Lanes<N>& value : place) value = max(min(value, one), zero);
    const Lanes<N> whole = gradient * Lanes<N>::load(slopes + sample * N);
    const Lanes<N> high = whole * place[0], low = whole - high;
    for (int x = 0; x < 2; ++x) {
      const Lanes<N> half = x ? high : low, back = half * place[1], front = half - back;
      for (int y = 0; y < 2; ++y) {
        const Lanes<N> quarter = y ? back : front, up = quarter * place[2];
        corners[4 * x + 2 * y] += quarter - up;
        corners[4 * x + 2 * y + 1] += up;
      }
    }
  }
}

// Goes back along the rays of a packet; `notes` are those of its visits.
template <int N>
void go_back(const VoxelTrainingArguments& pass, const Packet<N>& packet, const float* notes, int32_t visits,
             PartTape& tape) {
  const UnitRays<N> rays(pass.rays, packet, pass.root_low, pass.root_side);
  const Lanes<N> least = pass.least_light, zero = 0.0f, one = 1.0f;
  const float seen = 1.0f / (1.0f - pass.least_light);
  const size_t stride = numbers_of_visit<N>(pass.samples);
  Lanes<N> photograph[3], rgb_slope[3];
  for (int channel = 0; channel < 3; ++channel) {
    photograph[channel] = packet.component(pass.photograph, channel);
    rgb_slope[channel] = packet.component(pass.rgb_slopes, channel);
  }
  const Lanes<N> opacity_slope = of_rays(packet, pass.opacity_slopes);
  const Lanes<N> pull_slope = 2.0f * of_rays(packet, pass.concentration_slopes);
  const Lanes<N> distortion_slope = of_rays(packet, pass.distortion_slopes);
  const Lanes<N> pixel_width = of_rays(packet, pass.pixel_widths);
  const auto weight_of = [&](Lanes<N> before, Lanes<N> behind) {
    return (max(before - least, zero) - max(behind - least, zero)) * seen;
  };
  Lanes<N> weight_in_front = 0.0f, moment_in_front = 0.0f;
  if (pass.distorting) {
    Lanes<N> before = 1.0f;
    for (int32_t index = 0; index < visits; ++index) {
      Visit<N> visit;
      std::memcpy(&visit, notes + index * stride, sizeof visit);
      Lanes<N> middle, length;
      contract(visit, pass.distance_unit, middle, length);
      const Lanes<N> weight = weight_of(before, visit.left);
      weight_in_front += weight;
      moment_in_front += weight * middle;
      before = visit.left;
    }
  }
  Lanes<N> weight_behind = 0.0f, moment_behind = 0.0f, slope_behind = 0.0f, value_behind = 0.0f;
  Visit<N> visit;
  if (visits) std::memcpy(&visit, notes + (visits - 1) * stride, sizeof visit);
  for (int32_t index = visits; index-- > 0;) {
    Visit<N> former;
    if (index) std::memcpy(&former, notes + (index - 1) * stride, sizeof former);
    const Lanes<N> before = index ? former.left : one, behind = visit.left;
    const Lanes<N> weight = weight_of(before, behind), remaining = max(behind - least, zero) * seen;
    Lanes<N> slope = opacity_slope;
    for (int channel = 0; channel < 3; ++channel)
      slope = fused(rgb_slope[channel], Lanes<N>(visit.color[channel]), slope);
    if (pass.distorting) {
      Lanes<N> middle, length;
      contract(visit, pass.distance_unit, middle, length);
      weight_in_front -= weight;
      moment_in_front -= weight * middle;
      const Lanes<N> pull = middle * (weight_in_front - weight_behind) + moment_behind - moment_in_front;
      slope += distortion_slope * (2.0f * pull + (2.0f / 3.0f) * weight * length);
      weight_behind += weight;
      moment_behind += weight * middle;
    }
    // A ray's weights are differences of its visible light; light that is cut off has no gradient.
    const Lanes<N> passing_before = select(before > least, before * seen, zero);
    const Lanes<N> passing_behind = select(behind > least, behind * seen, zero);
    const Lanes<N> depth_slope = slope * passing_behind - slope_behind;
    slope_behind += slope * (passing_before - passing_behind);
    // Mean of the slopes behind: what the light that passes meets.
    const Lanes<N> mean = select(remaining > Lanes<N>(1e-6f), value_behind / remaining, zero);
    value_behind += slope * weight;

    VoxelUpdate update;
    update.voxel = visit.voxel.index;
    for (int axis = 0; axis < 3; ++axis) update.view[axis] = visit.voxel.center[axis] - rays.eye[axis];
    const Lanes<N> pulled = pull_slope * weight;
    for (int channel = 0; channel < 3; ++channel)
      update.color[channel] =
          sum_of(rgb_slope[channel] * weight + pulled * (visit.color[channel] - photograph[channel]));
    update.priority = sum_of(absolute(weight * (slope - mean)));
    update.weight = largest_of(weight);
    const Lanes<N> footprint = 0.5f * (visit.begin + visit.end) * pixel_width;
    update.footprint =
        -largest_of(select(weight > zero, -footprint, Lanes<N>(-std::numeric_limits<float>::infinity())));
    tape.voxels[owner_of(update.voxel)].push_back(update);

    const VoxelSamples<N> samples(visit.voxel, rays.eye, rays.speed, visit.begin, visit.end, pass.samples);
    Lanes<N> corners[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    add_to_corners(samples, notes + index * stride + sizeof visit / sizeof(float),
                   depth_slope * samples.width * pass.density_scale, corners);
    const int32_t* const points = pass.voxel_points + int64_t{update.voxel} * 8;
    for (int corner = 0; corner < 8; ++corner)
      tape.points[owner_of(points[corner])].push_back({points[corner], sum_of(corners[corner])});
    visit = former;
  }
}

void go_back_in_part(const VoxelTrainingArguments& pass, int64_t part) {
  PartTape& tape = pass.tape->parts[part];
  tape.clear_updates();
  size_t place = 0, packets = 0;
  for_each_packet_with_origin<WIDTH>(pass.rays, part, [&](const auto& packet) {
    constexpr int N = sizeof packet.ray / sizeof packet.ray[0];
    const int32_t visits = tape.visits[packets++];
    go_back<N>(pass, packet, tape.notes.at(place), visits, tape);
    place += visits * numbers_of_visit<N>(pass.samples);
  });
}

// Adds up what the voxels and points of an owner got, in the order of the rays.
void add_up(const VoxelTrainingArguments& pass, int owner) {
  const int others = pass.harmonics - 1, in_use = pass.harmonics_in_use - 1;
  for (const PartTape& part : pass.tape->parts) {
    for (const PointUpdate& update : part.points[owner])
      pass.density_gradient[update.point] += update.density;
    for (const VoxelUpdate& update : part.voxels[owner]) {
      Lanes<1> basis[MAX_HARMONICS];
      view_harmonics(update.view, pass.harmonics_in_use, basis);
      float* const constant = pass.sh0_gradient + int64_t{update.voxel} * 3;
      float* const row = pass.shs_gradient + int64_t{update.voxel} * others * 3;
      for (int channel = 0; channel < 3; ++channel) {
        constant[channel] += FIRST_HARMONIC * update.color[channel];
        for (int index = 0; index < in_use; ++index)
          row[index * 3 + channel] += basis[index + 1].v * update.color[channel];
      }
      pass.priority[update.voxel] += update.priority;
      pass.weight[update.voxel] = std::max(pass.weight[update.voxel], update.weight);
      pass.footprint[update.voxel] = std::min(pass.footprint[update.voxel], update.footprint);
    }
  }
}

}  // namespace
}  // namespace neurocity

using namespace neurocity;

// Room for the notes of one pass at a time over rays in `parts`; null when memory is short.
NEUROCITY_EXPORT VoxelTape* nc_new_voxel_tape(int64_t parts) {
  try {
    VoxelTape* const tape = new VoxelTape;
    tape->parts.resize(parts);
    return tape;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

NEUROCITY_EXPORT void nc_delete_voxel_tape(VoxelTape* tape) { delete tape; }

// Along the rays. Parts are those of the rays.
NEUROCITY_EXPORT int32_t nc_trace_voxels(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) {
    PartTape& tape = pass->tape->parts[part];
    tape.clear();
    int64_t evaluated = 0;
    for_each_packet_with_origin<WIDTH>(pass->rays, part,
                                       [&](const auto& packet) { trace(*pass, packet, tape, evaluated); });
    pass->evaluated[part] = evaluated;
  });
}

// Back along the rays that the tape has notes of, with equal arguments. Parts are those of the rays.
NEUROCITY_EXPORT int32_t nc_go_back_along_rays(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) { go_back_in_part(*pass, part); });
}

// Adds what was found on the way back to gradients and statistics. Parts are owners of rows.
NEUROCITY_EXPORT int32_t nc_add_voxel_gradients(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) { add_up(*pass, static_cast<int>(part)); });
}

NEUROCITY_EXPORT int64_t nc_voxel_gradient_owners() { return OWNERS; }
