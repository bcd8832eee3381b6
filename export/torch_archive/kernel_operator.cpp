// The operator of compiled packages that renders one kind of scene by its kernel, on as many threads as the
// runtime has.
//
// It is compiled together with the kernel: KERNEL_SOURCE is the kernel's file, KERNEL its function, OPERATOR
// the operator's.

#include KERNEL_SOURCE

#include <omp.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <type_traits>

#include "thread_pool.hpp"

namespace neurocity {
namespace {

void check(AOTITorchError error, const char* what) {
  if (error != AOTI_TORCH_SUCCESS) throw std::runtime_error(what);
}

int64_t size(AtenTensorHandle tensor, int64_t axis) {
  int64_t result;
  check(aoti_torch_get_size(tensor, axis, &result), "size of a tensor");
  return result;
}

// The numbers of a tensor, one after the other.
void* numbers(AtenTensorHandle tensor) {
  bool is_contiguous;
  void* data;
  check(aoti_torch_is_contiguous(tensor, &is_contiguous), "strides of a tensor");
  if (!is_contiguous) throw std::invalid_argument("expected a contiguous tensor");
  check(aoti_torch_get_data_ptr(tensor, &data), "data of a tensor");
  return data;
}

// The numbers of rays [R, 3].
const float* ray_vectors(AtenTensorHandle rays) {
  int32_t dtype;
  int64_t axes;
  check(aoti_torch_get_dtype(rays, &dtype), "dtype of rays");
  check(aoti_torch_get_dim(rays, &axes), "number of axes of rays");
  if (dtype != aoti_torch_dtype_float32() || axes != 2 || size(rays, 1) != 3)
    throw std::invalid_argument("expected rays [R, 3] in float32");
  return static_cast<const float*>(numbers(rays));
}

// A new float32 tensor [rows, columns] on the CPU, or [rows] where there are no columns.
float* make_tensor(int64_t rows, int64_t columns, AtenTensorHandle* tensor) {
  const int64_t sizes[] = {rows, columns}, strides[] = {columns ? columns : 1, 1};
  check(aoti_torch_empty_strided(columns ? 2 : 1, sizes, strides, aoti_torch_dtype_float32(),
                                 aoti_torch_device_type_cpu(), 0, tensor),
        "memory for light");
  return static_cast<float*>(numbers(*tensor));
}

// Whether ray + 1 goes back from the way on which rays went to `ray`, as at the end of a picture's row.
bool turns_back(const float* directions, int64_t ray) {
  const float* const here = directions + 3 * ray;
  float product = 0.0f;
  for (int axis = 0; axis < 3; ++axis)
    product += (here[3 + axis] - here[axis]) * (here[axis] - here[axis - 3]);
  return product < 0.0f;
}

// Rays of a picture: `before` of them end a row, whole rows of `width` follow. Without rows the width is 0.
struct Rows {
  int64_t before, width;
};

// Finds rows in the order of directions. Kernels are faster where they know rows, and a ray's light is the
// same: what is found need not be true.
Rows find_rows(const float* directions, int64_t count) {
  int64_t begins[3];  // of the second row and those after it; the first one may be too short to be told
  int64_t found = 0, ray = 1;
  for (; ray + 1 < count && found < 3; ++ray)
    if (turns_back(directions, ray)) begins[found++] = ++ray;  // the way on from there turns once more
  const int64_t width = found == 3 ? begins[2] - begins[1] : 0;
  if (width < WIDTH) return {0, 0};
  for (int64_t begin = begins[2] + width; begin < count; begin += width)
    if (!turns_back(directions, begin - 1)) return {0, 0};
  return {begins[1] % width, width};
}

// What the kernel takes, and the threads that call it with the same.
template <typename Call>
class Kernel {
 public:
  // bytes: of a Call. places, arrays: where in it the address of each array belongs.
  Kernel(int32_t (*function)(const Call*, Work*), AtenTensorHandle bytes, const int64_t* places,
         const AtenTensorHandle* arrays, int64_t count)
      : function_(function) {
    static_assert(std::is_trivially_copyable_v<Call>);
    if (size(bytes, 0) != sizeof call_) throw std::invalid_argument("arguments are of another kernel");
    std::memcpy(&call_, numbers(bytes), sizeof call_);
    for (int64_t index = 0; index < count; ++index) {
      const void* const data = numbers(arrays[index]);
      std::memcpy(reinterpret_cast<char*>(&call_) + places[index], &data, sizeof data);
    }
  }

  void render(const Rays& rays, const Light& light) {
    const Rows rows = find_rows(rays.directions, rays.count);
    const int64_t behind = rows.width ? (rays.count - rows.before) % rows.width : rays.count;
    const int64_t sizes[] = {rows.before, rays.count - rows.before - behind, behind};
    Call calls[3];
    Work works[3];
    int64_t first = 0, parts = 0;
    for (int part = 0; part < 3; first += sizes[part++]) {
      calls[part] = call_;
      calls[part].rays = {rays.origins + 3 * first, rays.directions + 3 * first, sizes[part],
                          part == 1 ? rows.width : 0};
      calls[part].light = {light.rgb + 3 * first, light.depth + first, light.opacity + first};
      works[part] = {ray_parts(calls[part].rays), 0, 0};
      parts += works[part].parts;
    }
    std::atomic<bool> has_memory{true}, is_right{true};
    const auto others = std::min<int64_t>(parts, omp_get_max_threads()) - 1;
    thread_pool().run(static_cast<int>(others), [&] {
      for (int part = 0; part < 3; ++part) {
        const int32_t status = function_(&calls[part], &works[part]);
        if (status == NO_MEMORY)
          has_memory = false;
        else if (status != DONE)
          is_right = false;
      }
    });
    if (!has_memory) throw std::bad_alloc();
    if (!is_right) throw std::invalid_argument("an argument is not what the kernel takes");
  }

 private:
  int32_t (*const function_)(const Call*, Work*);
  Call call_;
};

}  // namespace
}  // namespace neurocity

// Writes light of rays [R, 3] into new tensors, which there are once the rays are known to be some. An
// error's words go to stderr: the runtime reports a failure alone.
extern "C" AOTITorchError OPERATOR(AtenTensorHandle ray_origins, AtenTensorHandle ray_directions,
                                   AtenTensorHandle arguments, const int64_t* places, int64_t place_count,
                                   const AtenTensorHandle* arrays, int64_t array_count, AtenTensorHandle* rgb,
                                   AtenTensorHandle* depth, AtenTensorHandle* opacity) {
  try {
    if (place_count != array_count) throw std::invalid_argument("expected one place for each array");
    const int64_t count = size(ray_origins, 0);
    if (size(ray_directions, 0) != count) throw std::invalid_argument("expected a direction for each origin");
    const neurocity::Rays rays{neurocity::ray_vectors(ray_origins), neurocity::ray_vectors(ray_directions),
                               count, 0};
    neurocity::Kernel kernel(KERNEL, arguments, places, arrays, array_count);
    const neurocity::Light light{neurocity::make_tensor(count, 3, rgb),
                                 neurocity::make_tensor(count, 0, depth),
                                 neurocity::make_tensor(count, 0, opacity)};
    kernel.render(rays, light);
    return AOTI_TORCH_SUCCESS;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "neurocity: %s\n", error.what());
    return AOTI_TORCH_FAILURE;
  }
}
