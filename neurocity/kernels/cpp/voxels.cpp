// Pictures of sparse voxels, and lists of the voxels that rays cross.

#include "voxels.hpp"

#include "sky.hpp"
#include "work.hpp"

namespace neurocity {
namespace {

enum Storage : int32_t { TENSORS = 0, FLOAT_RECORDS = 1, HALF_RECORDS = 2 };

// left [count], null for a whole picture: the share of light that rays have left. `light` then holds sums
// over what lies before this scene, depth weighted and not divided, and the scene's own are added to them.
// Where `ends` is not 0, nothing lies behind it, and sums become light.
struct VoxelArguments {
  Rays rays;
  Light light;
  float* left;
  const int32_t* children;
  const void* records;
  int64_t stride;
  const float* density;
  const int32_t* voxel_points;
  const float* sh0;
  const float* shs;
  const float* sky;  // null: none
  float root_low[3];
  float root_side;
  float near;
  float far;
  float density_scale;
  float brightest;
  float least_light;
  float faintest;
  int32_t storage;
  int32_t sh_degree;
  int32_t samples_per_voxel;
  int32_t ends;
};

// Where the voxels go that rays cross, ray after ray, front to back. offsets [count + 1]: the first of each
// ray; without room for voxels, offsets[ray + 1] gets their number.
struct IntervalArguments {
  Rays rays;
  const int32_t* children;
  float root_low[3];
  float root_side;
  float near;
  int64_t* voxel;
  float* begin;
  float* end;
  int64_t* ray_index;
  int64_t* offsets;
};

void list_intervals(const IntervalArguments& call, int64_t ray) {
  const UnitRays<1> rays(call.rays, Packet<1>{1, {ray}}, call.root_low, call.root_side);
  const bool is_count = !call.voxel;
  int64_t place = is_count ? 0 : call.offsets[ray];
  walk(Octree{call.children}, CubeRays<1>(rays.eye, rays.inverse, call.near),
       [&](const Voxel& voxel, Lanes<1> begin, Lanes<1> end, Mask<1> active) {
         if (!is_count) {
           call.voxel[place] = voxel.index;
           begin.store(call.begin + place);
           end.store(call.end + place);
           call.ray_index[place] = ray;
         }
         ++place;
         return active;
       });
  if (is_count) call.offsets[ray + 1] = place;
}

template <int N, typename Store>
void render(const VoxelArguments& scene, const Store& store, const Packet<N>& packet) {
  const UnitRays<N> rays(scene.rays, packet, scene.root_low, scene.root_side);
  const Lanes<N> least = scene.least_light, faintest = scene.faintest;
  const Lanes<N> seen = 1.0f / (1.0f - scene.least_light);
  Lanes<N> left = 1.0f, rgb[3] = {0.0f, 0.0f, 0.0f}, depth = 0.0f, opacity = 0.0f;
  CubeRays<N> cube(rays.eye, rays.inverse, scene.near);
  if (scene.left) {
    left = packet.numbers(scene.left);
    cube.alive = cube.alive & (left > least);
    if (!scene.ends && !any(cube.alive)) return;
    for (int channel = 0; channel < 3; ++channel) rgb[channel] = packet.component(scene.light.rgb, channel);
    depth = packet.numbers(scene.light.depth);
    opacity = packet.numbers(scene.light.opacity);
  }
  const auto shade = [&](const Voxel& voxel, Lanes<N> begin, Lanes<N> end, Mask<N> active) {
    Lanes<N> tau = optical_depth(store.corners(voxel.index),
                                 VoxelSamples<N>(voxel.center, voxel.quarter, rays.eye, rays.speed, begin,
                                                 end, scene.samples_per_voxel));
    const Mask<N> is_number = tau == tau;
    if (!all_of(is_number)) {
      // The numbers of the voxel are none. Rays through it show that, and those that pass it by do not.
      for (Lanes<N>* value : {&rgb[0], &rgb[1], &rgb[2], &depth, &opacity})
        *value = select(active & !is_number, Lanes<N>(NAN), *value);
      left = select(active & !is_number, Lanes<N>(0.0f), left);
      tau = select(is_number, tau, Lanes<N>(0.0f));
    }
    const Lanes<N> absorbed = left * one_minus_exponential(tau * scene.density_scale);
    // Rays that ended keep what they have: nothing of their light is left.
    const Lanes<N> weight = max(min(absorbed, left - least), Lanes<N>(0.0f)) * seen;
    left -= absorbed;
    opacity += weight;
    depth = fused(weight * 0.5f, begin + end, depth);
    const Mask<N> is_seen = weight > faintest;
    if (any(is_seen)) {
      const Lanes<4> color = voxel_color(store, voxel, rays.eye, scene.brightest);
      for (int channel = 0; channel < 3; ++channel)
        rgb[channel] = select(is_seen, fused(weight, Lanes<N>(color[channel]), rgb[channel]), rgb[channel]);
    }
    return left > least;
  };
  walk(Octree{scene.children}, cube, shade);
  if (scene.ends) {
    opacity = min(Lanes<N>(1.0f), opacity);  // NaN stays
    depth = depth / max(opacity, Lanes<N>(1e-6f));
    if (scene.sky) composite_over_sky(scene.sky, scene.far, rays.direction, rgb, depth, opacity);
  }
  for (int lane = 0; lane < packet.count; ++lane) {
    const int64_t ray = packet.ray[lane];
    if (scene.left) scene.left[ray] = left[lane];
    for (int channel = 0; channel < 3; ++channel) scene.light.rgb[ray * 3 + channel] = rgb[channel][lane];
    scene.light.depth[ray] = depth[lane];
    scene.light.opacity[ray] = opacity[lane];
  }
}

// Calls task(packet) for the packets of a part, of one ray each where origins differ.
template <typename Task>
void for_each_packet_with_origin(const Rays& rays, int64_t part, Task task) {
  for_each_packet<WIDTH>(rays, part, [&](const Packet<WIDTH>& packet) {
    if (packet.shares_origin(rays.origins)) return task(packet);
    for (int lane = 0; lane < packet.count; ++lane) task(Packet<1>{1, {packet.ray[lane]}});
  });
}

template <typename Store>
int32_t render_all(const VoxelArguments& scene, Work* work, const Store& store) {
  return share(work, [&](int64_t part) {
    for_each_packet_with_origin(scene.rays, part, [&](const auto& packet) { render(scene, store, packet); });
  });
}

}  // namespace
}  // namespace neurocity

using namespace neurocity;

// Lists the voxels that rays cross, or counts them.
NEUROCITY_EXPORT int32_t nc_list_voxels(const IntervalArguments* call, Work* work) {
  return share(work, [&](int64_t part) {
    for_each_packet<1>(call->rays, part,
                       [&](const Packet<1>& packet) { list_intervals(*call, packet.ray[0]); });
  });
}

// Renders the light of rays. Indices in `children` and `voxel_points` must be in range.
NEUROCITY_EXPORT int32_t nc_render_voxels(const VoxelArguments* scene, Work* work) {
  const int harmonics = (scene->sh_degree + 1) * (scene->sh_degree + 1);
  switch (scene->storage) {
    case TENSORS:
      return render_all(*scene, work,
                        VoxelTensors{scene->density, scene->voxel_points, scene->sh0, scene->shs, harmonics});
    case FLOAT_RECORDS:
      return render_all(*scene, work,
                        Records<float>{static_cast<const float*>(scene->records), scene->stride, harmonics});
    case HALF_RECORDS:
      return render_all(*scene, work,
                        Records<Half>{static_cast<const Half*>(scene->records), scene->stride, harmonics});
    default:
      return WRONG_ARGUMENT;
  }
}
