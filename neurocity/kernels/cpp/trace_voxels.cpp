// Rays of training from sparse voxels to light. The arithmetic is that of `svraster.training.differentiable`.
//
// A packet of rays descends the octree together. Voxels are often smaller than pixels, so that few of its
// rays meet in one: intervals are shaded side by side, whichever voxels they are in.

#include "voxel_training.hpp"
#include "work.hpp"

namespace neurocity {
namespace {

// A packet on its way.
class Tracer {
 public:
  Tracer(const VoxelTrainingArguments& pass, const Packet<WIDTH>& packet, PartTape& tape)
      : pass_(pass), packet_(packet), tape_(tape), rays_(pass, packet) {
    for (float& left : left_) left = 1.0f;
  }

  void run() {
    if (packet_.shares_origin(pass_.rays.origins))
      descend<WIDTH>(packet_, 0);
    else
      for (int lane = 0; lane < packet_.count; ++lane) descend(Packet<1>{1, {packet_.ray[lane]}}, lane);
    if (filled_) shade();
    tape_.ends.push_back(tape_.blocks.size());
    for (int lane = 0; lane < packet_.count; ++lane) write(lane);
  }
  int64_t evaluated() const { return evaluated_; }

 private:
  // Meets the voxels of rays, the first of which is in the packet's lane `first`.
  template <int N>
  void descend(const Packet<N>& packet, int first) {
    const UnitRays<N> rays(pass_.rays, packet, pass_.root_low, pass_.root_side);
    CubeRays<N> cube(rays.eye, rays.inverse, pass_.near);
    cube.keep_first(packet.count);
    Mask<N> alive = cube.alive;
    walk(Octree{pass_.children}, cube, [&](const Voxel& voxel, Lanes<N> begin, Lanes<N> end, Mask<N> active) {
      float begins[N], ends[N];
      begin.store(begins);
      end.store(ends);
      prefetch(voxel.index);
      for_each_lane(active, [&](int lane) {
        if (add(voxel, first + lane, begins[lane], ends[lane]))
          alive = Lanes<N>::load(left_ + first) > Lanes<N>(pass_.least_light);
      });
      return alive;
    });
  }

  void prefetch(int32_t voxel) const {
    __builtin_prefetch(pass_.voxel_points + int64_t{voxel} * 8);
    __builtin_prefetch(pass_.sh0 + int64_t{voxel} * 3);
    const int others = (pass_.harmonics - 1) * 3;
    const float* const row = pass_.shs + int64_t{voxel} * others;
    for (int index = 0; index < others; index += 16) __builtin_prefetch(row + index);
  }

  // Whether the interval was the last that a block has room for, so that rays may have ended.
  bool add(const Voxel& voxel, int lane, float begin, float end) {
    if (!filled_) block_ = &tape_.blocks.add();
    Block& block = *block_;
    block.voxel[filled_] = voxel.index;
    block.lane[filled_] = lane;
    for (int axis = 0; axis < 3; ++axis) block.center[axis][filled_] = voxel.center[axis];
    block.quarter[filled_] = voxel.quarter;
    block.begin[filled_] = begin;
    block.end[filled_] = end;
    if (++filled_ < WIDTH) return false;
    shade();
    return true;
  }

  // Shades the block.
  void shade() {
    Block& block = *block_;
    block.count = filled_;
    for (int index = filled_; index < WIDTH; ++index) {
      block.voxel[index] = block.voxel[0];
      block.lane[index] = block.lane[0];
      for (int axis = 0; axis < 3; ++axis) block.center[axis][index] = block.center[axis][0];
      block.quarter[index] = block.quarter[0];
      block.begin[index] = block.end[index] = block.begin[0];
    }
    filled_ = 0;
    float absorbing[WIDTH], error[WIDTH];
    absorbed_share(optical_depths(block) * pass_.density_scale).store(absorbing);
    colors(block);
    Wide photograph[3], color[3], difference = 0.0f;
    of_lanes(rays_.photograph, block, photograph);
    load(block.color, color);
    for (int channel = 0; channel < 3; ++channel) {
      const Wide one = color[channel] - photograph[channel];
      difference = fused(one, one, difference);
    }
    difference.store(error);
    composite(block, absorbing, error);
  }

  Wide optical_depths(Block& block) const {
    float corners[8][WIDTH];
    for (int index = 0; index < WIDTH; ++index) {
      const int32_t* const points = pass_.voxel_points + int64_t{block.voxel[index]} * 8;
      for (int corner = 0; corner < 8; ++corner) corners[corner][index] = pass_.density[points[corner]];
    }
    Wide low[4], slope[4], center[3], eye[3], speed[3];
    for (int index = 0; index < 4; ++index) {
      low[index] = Wide::load(corners[index]);
      slope[index] = Wide::load(corners[4 + index]) - low[index];
    }
    load(block.center, center);
    of_lanes(rays_.eye, block, eye);
    of_lanes(rays_.speed, block, speed);
    const VoxelSamples<WIDTH, Wide> samples(center, Wide::load(block.quarter), eye, speed,
                                            Wide::load(block.begin), Wide::load(block.end), pass_.samples);
    Wide total = 0.0f;
    for (int sample = 0; sample < samples.count; ++sample) {
      Wide place[3];
      samples.place(sample, place);
      const Wide raw = interpolate(low, slope, place), activated = explin(raw);
      explin_slope(raw, activated).store(block.slopes[sample]);
      total += activated;
    }
    return total * samples.width;
  }

  void colors(Block& block) const {
    const VoxelTensors tensors{pass_.density, pass_.voxel_points, pass_.sh0, pass_.shs, pass_.harmonics};
    Wide view[3], eye[3], basis[MAX_HARMONICS];
    load(block.center, view);
    of_lanes(rays_.eye, block, eye);
    for (int axis = 0; axis < 3; ++axis) view[axis] -= eye[axis];
    view_harmonics(view, pass_.harmonics_in_use, basis);
    float values[MAX_HARMONICS][WIDTH];
    for (int harmonic = 0; harmonic < pass_.harmonics_in_use; ++harmonic)
      basis[harmonic].store(values[harmonic]);
    for (int index = 0; index < WIDTH; ++index) {
      Lanes<4> color = 0.5f;
      for (int harmonic = 0; harmonic < pass_.harmonics_in_use; ++harmonic)
        color = fused(Lanes<4>(values[harmonic][index]), tensors.coefficients(block.voxel[index], harmonic),
                      color);
      color = max(Lanes<4>(0.0f), min(Lanes<4>(1.0f), color));  // NaN stays
      for (int channel = 0; channel < 3; ++channel) block.color[channel][index] = color[channel];
    }
  }

  // absorbing: the shares of the light that reaches intervals which stay there. error: squared distances of
  // their colours from the photograph's.
  void composite(Block& block, const float* absorbing, const float* error) {
    const float least = pass_.least_light, seen = pass_.share_seen();
    float middles[WIDTH], lengths[WIDTH];
    if (pass_.distorting) {
      Wide middle, length;
      contract(block, pass_.distance_unit, middle, length);
      middle.store(middles);
      length.store(lengths);
    }
    for (int index = 0; index < WIDTH; ++index) {
      const int lane = block.lane[index];
      const float before = left_[lane], absorbed = before * absorbing[index];
      evaluated_ += index < block.count && before > least;
      block.before[index] = before;
      block.absorbed[index] = absorbed;
      left_[lane] = before - absorbed;
      const float weight = std::max(std::min(absorbed, before - least), 0.0f) * seen;
      for (int channel = 0; channel < 3; ++channel)
        rgb_[channel][lane] += weight * block.color[channel][index];
      spread_[lane] += weight * error[index];
      if (pass_.distorting) {
        apart_[lane] += 2.0f * weight * (middles[index] * weight_in_front_[lane] - moment_in_front_[lane]) +
                        weight * weight * lengths[index] * (1.0f / 3.0f);
        weight_in_front_[lane] += weight;
        moment_in_front_[lane] += weight * middles[index];
      }
    }
  }

  void write(int lane) const {
    const int64_t ray = packet_.ray[lane];
    for (int channel = 0; channel < 3; ++channel) pass_.rgb[ray * 3 + channel] = rgb_[channel][lane];
    pass_.opacity[ray] = 1.0f - std::max(left_[lane] - pass_.least_light, 0.0f) * pass_.share_seen();
    pass_.concentration[ray] = spread_[lane];
    pass_.distortion[ray] = apart_[lane];
  }

  const VoxelTrainingArguments& pass_;
  const Packet<WIDTH>& packet_;
  PartTape& tape_;
  const PacketRays rays_;
  Block* block_ = nullptr;
  int filled_ = 0;
  int64_t evaluated_ = 0;
  float left_[WIDTH], rgb_[3][WIDTH] = {}, spread_[WIDTH] = {}, apart_[WIDTH] = {};
  float weight_in_front_[WIDTH] = {}, moment_in_front_[WIDTH] = {};
};

}  // namespace
}  // namespace neurocity

using namespace neurocity;

// Room for the notes of one pass at a time over rays in `parts`; null when memory is short.
NEUROCITY_EXPORT VoxelTape* nc_new_voxel_tape(int64_t parts) {
  try {
    return new VoxelTape{std::vector<PartTape>(parts)};
  } catch (const std::exception&) {  // also where no memory could hold so many
    return nullptr;
  }
}

NEUROCITY_EXPORT void nc_delete_voxel_tape(VoxelTape* tape) { delete tape; }

// Along the rays. Parts are those of the rays.
NEUROCITY_EXPORT int32_t nc_trace_voxels(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) {
    PartTape& tape = pass->tape->parts[part];
    tape.ends.clear();
    tape.blocks.clear();
    pass->evaluated[part] = 0;
    for_each_packet<WIDTH>(pass->rays, part, [&](const Packet<WIDTH>& packet) {
      Tracer tracer(*pass, packet, tape);
      tracer.run();
      pass->evaluated[part] += tracer.evaluated();
    });
  });
}
