// The render graph of SVRaster as one walk a ray: `shading_kernels._render`, for compiled packages.

#include <algorithm>
#include <cmath>

#include "../rendering/native/tensors.hpp"

namespace {

using namespace neurocity;

constexpr int64_t EMPTY = -1;
constexpr int64_t FIRST_VOXEL = -2;
constexpr int STACK = 64;  // at least the STACK of traversal_kernels, 3 * 16 + 4, as a test checks
constexpr int MAX_BASIS = 15;

// A piece [begin, end] of a ray in a node or voxel with centre `center`; quarter: of the node's side.
struct Piece {
  int64_t node;
  float begin, end;
  float center[3];
  float quarter;
};

struct Ray {
  float origin[3], speed[3], inverse[3];
};

struct Light {
  float rgb[3] = {0.0f, 0.0f, 0.0f};
  float distance = 0.0f;
  float covered = 0.0f;
};

template <typename Color>
struct Scene {
  const int32_t *children, *voxel_points;
  const float* density;
  const Color *sh0, *shs;
  int64_t basis_size, samples;
  float near, density_scale, brightest, least_light, faintest;
};

float clamped(float value, float low, float high) { return std::min(std::max(value, low), high); }

float explin(float raw) { return raw > 1.1f ? raw : std::exp(raw / 1.1f - 0.904689820196f); }

float interpolate(const float* corner, float x, float y, float z) {
  x = clamped(x, 0.0f, 1.0f), y = clamped(y, 0.0f, 1.0f), z = clamped(z, 0.0f, 1.0f);
  const float d0 = corner[0] + x * (corner[4] - corner[0]), d1 = corner[1] + x * (corner[5] - corner[1]);
  const float d2 = corner[2] + x * (corner[6] - corner[2]), d3 = corner[3] + x * (corner[7] - corner[3]);
  const float e0 = d0 + y * (d2 - d0), e1 = d1 + y * (d3 - d1);
  return e0 + z * (e1 - e0);
}

// The real spherical harmonics after the constant, along a direction of any length.
void fill_basis(float x, float y, float z, int64_t count, float* basis) {
  const float norm = std::max(std::sqrt(x * x + y * y + z * z), 1e-12f);
  x /= norm, y /= norm, z /= norm;
  const float xx = x * x, yy = y * y, zz = z * z;
  if (count >= 3) {
    basis[0] = -0.4886025119029199f * y;
    basis[1] = 0.4886025119029199f * z;
    basis[2] = -0.4886025119029199f * x;
  }
  if (count >= 8) {
    basis[3] = 1.0925484305920792f * x * y;
    basis[4] = -1.0925484305920792f * y * z;
    basis[5] = 0.31539156525252005f * (3.0f * zz - 1.0f);
    basis[6] = -1.0925484305920792f * x * z;
    basis[7] = 0.5462742152960396f * (xx - yy);
  }
  if (count >= 15) {
    basis[8] = -0.5900435899266435f * y * (3.0f * xx - yy);
    basis[9] = 2.890611442640554f * x * y * z;
    basis[10] = -0.4570457994644658f * y * (5.0f * zz - 1.0f);
    basis[11] = 0.3731763325901154f * z * (5.0f * zz - 3.0f);
    basis[12] = -0.4570457994644658f * x * (5.0f * zz - 1.0f);
    basis[13] = 1.445305721320277f * z * (xx - yy);
    basis[14] = -0.5900435899266435f * x * (xx - 3.0f * yy);
  }
}

// Puts a ray's piece in the root on the empty stack; the height of the stack, 0 if the ray misses.
int enter(const Ray& ray, float nearest, Piece* stack) {
  float begin = nearest, end = INFINITY;
  for (int axis = 0; axis < 3; ++axis) {
    const float low = -ray.origin[axis] * ray.inverse[axis];
    const float high = (1.0f - ray.origin[axis]) * ray.inverse[axis];
    if (std::isnan(low) || std::isnan(high)) return 0;
    begin = std::max(begin, std::min(low, high));
    end = std::min(end, std::max(low, high));
  }
  stack[0] = {0, begin, end, {0.5f, 0.5f, 0.5f}, 0.25f};
  return begin < end ? 1 : 0;
}

// Cuts the node's piece on top of the stack, `top` pieces high, into those of its children, the last one
// below; the stack's new height.
int cut(const int32_t* children, const Ray& ray, Piece* stack, int top) {
  const Piece piece = stack[--top];
  float plane[3];
  for (int axis = 0; axis < 3; ++axis)
    plane[axis] =
        clamped((piece.center[axis] - ray.origin[axis]) * ray.inverse[axis], piece.begin, piece.end);
  const float less = std::min(plane[0], plane[1]), more = std::max(plane[0], plane[1]);
  const float starts[4] = {std::max(more, plane[2]), std::min(more, std::max(less, plane[2])),
                           std::min(less, plane[2]), piece.begin};
  float end = piece.end;
  for (const float start : starts) {
    if (start < end) {
      bool beyond[3];
      for (int axis = 0; axis < 3; ++axis)
        beyond[axis] = (plane[axis] <= start) == (ray.inverse[axis] > 0.0f);
      const int64_t child = children[piece.node * 8 + 4 * beyond[0] + 2 * beyond[1] + beyond[2]];
      if (child != EMPTY) {
        Piece& next = stack[top++];
        next.node = child, next.begin = start, next.end = end, next.quarter = piece.quarter * 0.5f;
        for (int axis = 0; axis < 3; ++axis)
          next.center[axis] = piece.center[axis] + (beyond[axis] ? piece.quarter : -piece.quarter);
      }
    }
    end = start;
  }
  return top;
}

// Optical depth of a ray's piece in the voxel, by the midpoint rule.
template <typename Color>
float optical_depth(const Scene<Color>& scene, const Ray& ray, const Piece& piece, int64_t voxel) {
  float corner[8], start[3], speed[3];
  for (int index = 0; index < 8; ++index)
    corner[index] = scene.density[scene.voxel_points[voxel * 8 + index]];
  const float low = 2.0f * piece.quarter, scale = 0.25f / piece.quarter;
  for (int axis = 0; axis < 3; ++axis) {
    start[axis] = (ray.origin[axis] - (piece.center[axis] - low)) * scale;
    speed[axis] = ray.speed[axis] * scale;
  }
  const float width = (piece.end - piece.begin) / static_cast<float>(scene.samples);
  float total = 0.0f;
  for (int64_t sample = 0; sample < scene.samples; ++sample) {
    const float t = piece.begin + (static_cast<float>(sample) + 0.5f) * width;
    total += explin(
        interpolate(corner, start[0] + speed[0] * t, start[1] + speed[1] * t, start[2] + speed[2] * t));
  }
  return total * width * scene.density_scale;
}

template <typename Color>
void add_color(const Scene<Color>& scene, const Ray& ray, const Piece& piece, int64_t voxel, float weight,
               Light& light) {
  float basis[MAX_BASIS];
  fill_basis(piece.center[0] - ray.origin[0], piece.center[1] - ray.origin[1],
             piece.center[2] - ray.origin[2], scene.basis_size, basis);
  const Color *sh0 = scene.sh0 + voxel * 3, *shs = scene.shs + voxel * scene.basis_size * 3;
  float color[3];
  for (int channel = 0; channel < 3; ++channel)
    color[channel] = 0.5f + 0.28209479177387814f * static_cast<float>(sh0[channel]);
  for (int64_t index = 0; index < scene.basis_size; ++index)
    for (int channel = 0; channel < 3; ++channel)
      color[channel] += basis[index] * static_cast<float>(shs[index * 3 + channel]);
  for (int channel = 0; channel < 3; ++channel)
    light.rgb[channel] += weight * clamped(color[channel], 0.0f, scene.brightest);
}

template <typename Color>
Light render(const Scene<Color>& scene, const Ray& ray) {
  Piece stack[STACK];
  Light light;
  float left = 1.0f;
  int top = enter(ray, scene.near, stack);
  while (top > 0 && left > scene.least_light) {
    const Piece& piece = stack[top - 1];
    if (piece.node >= 0) {
      top = cut(scene.children, ray, stack, top);
      continue;
    }
    --top;
    const int64_t voxel = FIRST_VOXEL - piece.node;
    const float absorbed = left * -std::expm1(-optical_depth(scene, ray, piece, voxel));
    const float weight = std::min(absorbed, left - scene.least_light) / (1.0f - scene.least_light);
    left -= absorbed;
    light.covered += weight;
    light.distance += weight * (0.5f * (piece.begin + piece.end));
    if (weight > scene.faintest) add_color(scene, ray, piece, voxel, weight, light);
  }
  return light;
}

template <typename Color>
void render_all(const Scene<Color>& scene, const View<float> (&rays)[3], const View<float>& out) {
  in_parallel(rays[0].sizes[1], 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Ray ray;
      for (int axis = 0; axis < 3; ++axis) {
        ray.origin[axis] = rays[0](axis, r);
        ray.speed[axis] = rays[1](axis, r);
        ray.inverse[axis] = rays[2](axis, r);
      }
      const Light light = render(scene, ray);
      for (int channel = 0; channel < 3; ++channel) out(channel, r) = light.rgb[channel];
      out(3, r) = light.distance;
      out(4, r) = light.covered;
    }
  });
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_render_voxels(
    AtenTensorHandle origins, AtenTensorHandle speeds, AtenTensorHandle inverses, AtenTensorHandle children,
    AtenTensorHandle voxel_points, AtenTensorHandle density, AtenTensorHandle sh0, AtenTensorHandle shs,
    int64_t samples, double near, double density_scale, double brightest, double least_light, double faintest,
    AtenTensorHandle* result) {
  return reported("render_voxels", [&] {
    const View<float> rays[] = {view<float>(origins), view<float>(speeds), view<float>(inverses)};
    const auto run = [&](auto color) {
      using Color = decltype(color);
      const View<Color> others = packed<Color>(shs);
      const Scene<Color> scene{packed<int32_t>(children).data,
                               packed<int32_t>(voxel_points).data,
                               packed<float>(density).data,
                               packed<Color>(sh0).data,
                               others.data,
                               others.sizes[1],
                               samples,
                               float(near),
                               float(density_scale),
                               float(brightest),
                               float(least_light),
                               float(faintest)};
      render_all(scene, rays, new_plane(5, rays[0].sizes[1], result));
    };
    if (is_half(shs))
      run(Half{});
    else
      run(0.0f);
  });
}
