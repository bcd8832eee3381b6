// From gradients by the light of training rays to those of voxels: first back along the rays, then adding up.

#include <limits>

#include "voxel_training.hpp"
#include "work.hpp"

namespace neurocity {
namespace {

// Gradients by a packet's light, by lanes, and what is summed up on the way back.
struct PacketSlopes {
  float rgb[3][WIDTH], opacity[WIDTH], concentration[WIDTH], distortion[WIDTH], pixel_width[WIDTH];
  // Sums over what is in front of an interval.
  float weight_in_front[WIDTH] = {}, moment_in_front[WIDTH] = {};
  // Sums over what is behind it.
  float weight_behind[WIDTH] = {}, moment_behind[WIDTH] = {}, slope_behind[WIDTH] = {},
        value_behind[WIDTH] = {};

  PacketSlopes(const VoxelTrainingArguments& pass, const Packet<WIDTH>& packet) {
    for (int lane = 0; lane < WIDTH; ++lane) {
      const int64_t ray = packet.ray[lane];
      for (int channel = 0; channel < 3; ++channel) rgb[channel][lane] = pass.rgb_slopes[ray * 3 + channel];
      opacity[lane] = pass.opacity_slopes[ray];
      concentration[lane] = pass.concentration_slopes[ray];
      distortion[lane] = pass.distortion_slopes[ray];
      pixel_width[lane] = pass.pixel_widths[ray];
    }
  }
};

// What is known of a block's intervals on the way back.
struct BlockSlopes {
  Wide weight, depth, mean_behind, by_weight, share;
};

Wide distances_of(const Block& block) { return 0.5f * (Wide::load(block.begin) + Wide::load(block.end)); }

// The shares of gradients that count: less of those that arise near a camera.
Wide shares_of(const VoxelTrainingArguments& pass, const Block& block) {
  const Wide distance = distances_of(block), near = std::max(pass.near_distance, 1e-30f);
  const Wide ratio = distance / max(near, distance);
  return ratio * ratio;
}

Wide weights_of(const VoxelTrainingArguments& pass, const Block& block) {
  const Wide visible = Wide::load(block.before) - pass.least_light;
  return max(min(Wide::load(block.absorbed), visible), Wide(0.0f)) * pass.share_seen();
}

void sum_in_front(const VoxelTrainingArguments& pass, const Block& block, PacketSlopes& rays) {
  Wide middle, length;
  contract(block, pass.distance_unit, middle, length);
  float middles[WIDTH], weights[WIDTH];
  middle.store(middles);
  weights_of(pass, block).store(weights);
  for (int index = 0; index < WIDTH; ++index) {
    rays.weight_in_front[block.lane[index]] += weights[index];
    rays.moment_in_front[block.lane[index]] += weights[index] * middles[index];
  }
}

// Gradients of distortion by the weights of a block, added to `slopes`.
void add_distortion(const VoxelTrainingArguments& pass, const Block& block, const float* weights,
                    PacketSlopes& rays, float* slopes) {
  Wide middle, length;
  contract(block, pass.distance_unit, middle, length);
  float middles[WIDTH], lengths[WIDTH];
  middle.store(middles);
  length.store(lengths);
  for (int index = WIDTH; index-- > 0;) {
    const int lane = block.lane[index];
    const float weight = weights[index], moment = weight * middles[index];
    rays.weight_in_front[lane] -= weight;
    rays.moment_in_front[lane] -= moment;
    const float pull = middles[index] * (rays.weight_in_front[lane] - rays.weight_behind[lane]) +
                       rays.moment_behind[lane] - rays.moment_in_front[lane];
    slopes[index] += rays.distortion[lane] * (2.0f * pull + (2.0f / 3.0f) * weight * lengths[index]);
    rays.weight_behind[lane] += weight;
    rays.moment_behind[lane] += moment;
  }
}

// Goes back over a block: gradients by its intervals' weights and optical depths.
BlockSlopes back_over(const VoxelTrainingArguments& pass, const Block& block, PacketSlopes& rays) {
  const Wide least = pass.least_light, zero = 0.0f;
  const Wide before = Wide::load(block.before), behind = before - Wide::load(block.absorbed);
  Wide rgb_slopes[3], colors[3];
  of_lanes(rays.rgb, block, rgb_slopes);
  load(block.color, colors);
  Wide slope = of_lanes(rays.opacity, block);
  for (int channel = 0; channel < 3; ++channel) slope = fused(rgb_slopes[channel], colors[channel], slope);
  BlockSlopes result;
  result.weight = weights_of(pass, block);
  float slopes[WIDTH], weights[WIDTH], changes[WIDTH], values[WIDTH], slopes_behind[WIDTH],
      values_behind[WIDTH];
  slope.store(slopes);
  result.weight.store(weights);
  if (pass.distorting) add_distortion(pass, block, weights, rays, slopes);
  slope = Wide::load(slopes);
  // A ray's weights are differences of its visible light; light that is cut off has no gradient.
  const Wide passing_before = select(before > least, before * pass.share_seen(), zero);
  const Wide passing_behind = select(behind > least, behind * pass.share_seen(), zero);
  (slope * (passing_before - passing_behind)).store(changes);
  (slope * result.weight).store(values);
  for (int index = WIDTH; index-- > 0;) {
    const int lane = block.lane[index];
    slopes_behind[index] = rays.slope_behind[lane];
    values_behind[index] = rays.value_behind[lane];
    rays.slope_behind[lane] += changes[index];
    rays.value_behind[lane] += values[index];
  }
  result.by_weight = slope;
  result.share = shares_of(pass, block);
  result.depth = (slope * passing_behind - Wide::load(slopes_behind)) * result.share;
  // What the light that passes meets, in the mean.
  const Wide remaining = max(behind - least, zero) * pass.share_seen();
  result.mean_behind = select(remaining > Wide(1e-6f), Wide::load(values_behind) / remaining, zero);
  return result;
}

// Gradients of the densities at the corners of a block's voxels.
void to_corners(const VoxelTrainingArguments& pass, const Block& block, const PacketRays& rays,
                Wide depth_slope, Wide (&corners)[8]) {
  Wide center[3], eye[3], speed[3];
  load(block.center, center);
  of_lanes(rays.eye, block, eye);
  of_lanes(rays.speed, block, speed);
  const VoxelSamples<WIDTH, Wide> samples(center, Wide::load(block.quarter), eye, speed,
                                          Wide::load(block.begin), Wide::load(block.end), pass.samples);
  const Wide common = depth_slope * samples.width * pass.density_scale;
  for (Wide& corner : corners) corner = 0.0f;
  for (int sample = 0; sample < samples.count; ++sample) {
    Wide place[3];
    samples.place(sample, place);
    const Wide whole = common * Wide::load(block.slopes[sample]), high = whole * place[0], low = whole - high;
    for (int x = 0; x < 2; ++x) {
      const Wide half = x ? high : low, back = half * place[1], front = half - back;
      for (int y = 0; y < 2; ++y) {
        const Wide quarter = y ? back : front, up = quarter * place[2];
        corners[4 * x + 2 * y] += quarter - up;
        corners[4 * x + 2 * y + 1] += up;
      }
    }
  }
}

// A block's updates, number by number.
struct BlockUpdates {
  float view[3][WIDTH], color[3][WIDTH], priority[WIDTH], weight[WIDTH], footprint[WIDTH], corners[8][WIDTH];

  BlockUpdates(const VoxelTrainingArguments& pass, const Block& block, const PacketRays& rays,
               const PacketSlopes& slopes, const BlockSlopes& found) {
    const Wide pull = 2.0f * of_lanes(slopes.concentration, block) * found.weight;
    for (int axis = 0; axis < 3; ++axis) {
      (Wide::load(block.center[axis]) - of_lanes(rays.eye[axis], block)).store(view[axis]);
      const Wide difference = Wide::load(block.color[axis]) - of_lanes(rays.photograph[axis], block);
      const Wide whole = fused(of_lanes(slopes.rgb[axis], block), found.weight, pull * difference);
      (whole * found.share).store(color[axis]);
    }
    absolute(found.share * found.weight * (found.by_weight - found.mean_behind)).store(priority);
    found.weight.store(weight);
    const Wide distance = max(distances_of(block), Wide(pass.near_distance));
    (distance * of_lanes(slopes.pixel_width, block)).store(footprint);
    Wide gradients[8];
    to_corners(pass, block, rays, found.depth, gradients);
    for (int corner = 0; corner < 8; ++corner) gradients[corner].store(corners[corner]);
  }
};

// Who owns the rows of a table: ranges of 2^shift.
struct Ownership {
  int shift = 0;

  explicit Ownership(int64_t rows) {
    while ((rows - 1) >> shift >= OWNERS) ++shift;
  }
  int of(int32_t row) const { return row >> shift; }
};

void hand_out(const VoxelTrainingArguments& pass, const Block& block, const BlockUpdates& updates,
              PartTape& tape) {
  const Ownership voxels(pass.voxels), points(pass.points);
  for (int index = 0; index < block.count; ++index) {
    if (!(block.before[index] > pass.least_light)) continue;  // of a ray that had ended
    const int32_t voxel = block.voxel[index];
    VoxelUpdate& update = tape.voxels[voxels.of(voxel)].add();
    update.voxel = voxel;
    for (int axis = 0; axis < 3; ++axis) {
      update.view[axis] = updates.view[axis][index];
      update.color[axis] = updates.color[axis][index];
    }
    update.priority = updates.priority[index];
    update.weight = updates.weight[index];
    update.footprint = updates.footprint[index];
    const int32_t* const corners = pass.voxel_points + int64_t{voxel} * 8;
    unsigned given = 0;
    for (int corner = 0; corner < 8; ++corner) {
      const int owner = points.of(corners[corner]);
      if (given >> owner & 1) continue;
      given |= 1u << owner;
      CornerUpdate& gradients = tape.corners[owner].add();
      gradients.voxel = voxel;
      for (int other = 0; other < 8; ++other) gradients.corners[other] = updates.corners[other][index];
    }
  }
}

void go_back(const VoxelTrainingArguments& pass, int64_t part) {
  PartTape& tape = pass.tape->parts[part];
  for (auto& updates : tape.voxels) updates.clear();
  for (auto& updates : tape.corners) updates.clear();
  size_t packets = 0, begin = 0;
  for_each_packet<WIDTH>(pass.rays, part, [&](const Packet<WIDTH>& packet) {
    const size_t end = tape.ends[packets++];
    const PacketRays rays(pass, packet);
    PacketSlopes slopes(pass, packet);
    if (pass.distorting)
      for (size_t index = begin; index < end; ++index) sum_in_front(pass, tape.blocks[index], slopes);
    for (size_t index = end; index-- > begin;) {
      const Block& block = tape.blocks[index];
      const BlockSlopes found = back_over(pass, block, slopes);
      hand_out(pass, block, BlockUpdates(pass, block, rays, slopes, found), tape);
    }
    begin = end;
  });
}

// Writes what an owner's voxels got, in the order of the rays.
class VoxelAdder {
 public:
  VoxelAdder(const VoxelTrainingArguments& pass, int owner)
      : pass_(pass), owner_(owner), others_(int64_t{3} * (pass.harmonics - 1)) {}

  void run() const {
    const int shift = Ownership(pass_.voxels).shift;
    const int64_t begin = std::min(int64_t{owner_} << shift, pass_.voxels);
    const int64_t end = std::min(int64_t{owner_ + 1} << shift, pass_.voxels);
    std::fill(pass_.sh0_gradient + begin * 3, pass_.sh0_gradient + end * 3, 0.0f);
    std::fill(pass_.shs_gradient + begin * others_, pass_.shs_gradient + end * others_, 0.0f);
    for (const PartTape& part : pass_.tape->parts) {
      const Strip<VoxelUpdate>& updates = part.voxels[owner_];
      for (size_t first = 0; first < updates.size(); first += WIDTH)
        add(updates, first, static_cast<int>(std::min<size_t>(WIDTH, updates.size() - first)));
    }
  }

 private:
  void add(const Strip<VoxelUpdate>& updates, size_t first, int count) const {
    float views[3][WIDTH] = {}, values[MAX_HARMONICS][WIDTH];
    for (int index = 0; index < count; ++index)
      for (int axis = 0; axis < 3; ++axis) views[axis][index] = updates[first + index].view[axis];
    Wide view[3], basis[MAX_HARMONICS];
    load(views, view);
    view_harmonics(view, pass_.harmonics_in_use, basis);
    for (int harmonic = 0; harmonic < pass_.harmonics_in_use; ++harmonic)
      basis[harmonic].store(values[harmonic]);
    for (int index = 0; index < count; ++index) {
      const VoxelUpdate& update = updates[first + index];
      const int64_t voxel = update.voxel;
      pass_.priority[voxel] += update.priority;
      pass_.weight[voxel] = std::max(pass_.weight[voxel], update.weight);
      pass_.footprint[voxel] = std::min(pass_.footprint[voxel], update.footprint);
      float* const constant = pass_.sh0_gradient + voxel * 3;
      float* row = pass_.shs_gradient + voxel * others_;
      for (int channel = 0; channel < 3; ++channel)
        constant[channel] += FIRST_HARMONIC * update.color[channel];
      for (int harmonic = 1; harmonic < pass_.harmonics_in_use; ++harmonic, row += 3)
        for (int channel = 0; channel < 3; ++channel)
          row[channel] += values[harmonic][index] * update.color[channel];
    }
  }

  const VoxelTrainingArguments& pass_;
  const int owner_;
  const int64_t others_;
};

// Writes what an owner's points got, in the order of the rays.
void add_corners(const VoxelTrainingArguments& pass, int owner) {
  const Ownership points(pass.points);
  const int64_t begin = std::min(int64_t{owner} << points.shift, pass.points);
  const int64_t end = std::min(int64_t{owner + 1} << points.shift, pass.points);
  std::fill(pass.density_gradient + begin, pass.density_gradient + end, 0.0f);
  for (const PartTape& part : pass.tape->parts) {
    const Strip<CornerUpdate>& updates = part.corners[owner];
    for (size_t index = 0; index < updates.size(); ++index) {
      const CornerUpdate& update = updates[index];
      const int32_t* const corners = pass.voxel_points + int64_t{update.voxel} * 8;
      for (int corner = 0; corner < 8; ++corner)
        if (points.of(corners[corner]) == owner)
          pass.density_gradient[corners[corner]] += update.corners[corner];
    }
  }
}

}  // namespace
}  // namespace neurocity

using namespace neurocity;

// Back along the rays that the tape has notes of, with equal arguments. Parts are those of the rays.
NEUROCITY_EXPORT int32_t nc_go_back_along_rays(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) { go_back(*pass, part); });
}

// Writes gradients of what was found on the way back, and adds to statistics. Parts are owners of rows.
NEUROCITY_EXPORT int32_t nc_sum_voxel_gradients(const VoxelTrainingArguments* pass, Work* work) {
  return share(work, [&](int64_t part) {
    VoxelAdder(*pass, static_cast<int>(part)).run();
    add_corners(*pass, static_cast<int>(part));
  });
}

NEUROCITY_EXPORT int64_t nc_voxel_gradient_owners() { return OWNERS; }
