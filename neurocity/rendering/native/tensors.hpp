// Tensors and loops for the C++ kernels of compiled packages, over the C interface that those may use.

#pragma once

#if defined(__F16C__)
#include <immintrin.h>
#else
#include <torch/headeronly/util/Half.h>
#endif
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <type_traits>

namespace neurocity {

// _Float16 is not known to all compilers in use, and torch's type converts slowly where there is AVX-512.
#if defined(__F16C__)
struct Half {
  uint16_t bits;
  operator float() const { return _cvtsh_ss(bits); }
};
#else
using c10::Half;
#endif

inline void check(AOTITorchError error, const char* what) {
  if (error != AOTI_TORCH_SUCCESS) throw std::runtime_error(what);
}

// Borrowed elements of a tensor with up to three axes; axes that it lacks have size 1.
template <typename T>
struct View {
  T* data;
  std::array<int64_t, 3> sizes{1, 1, 1};
  std::array<int64_t, 3> strides{0, 0, 0};

  T& operator()(int64_t i, int64_t j) const { return data[i * strides[0] + j * strides[1]]; }
};

inline int32_t dtype(AtenTensorHandle tensor) {
  int32_t result;
  check(aoti_torch_get_dtype(tensor, &result), "dtype of a tensor");
  return result;
}

inline bool is_half(AtenTensorHandle tensor) { return dtype(tensor) == aoti_torch_dtype_float16(); }

inline int64_t size(AtenTensorHandle tensor, int64_t axis) {
  int64_t result;
  check(aoti_torch_get_size(tensor, axis, &result), "size of a tensor");
  return result;
}

template <typename T>
int32_t dtype_of() {
  if constexpr (std::is_same_v<T, float>) return aoti_torch_dtype_float32();
  if constexpr (std::is_same_v<T, Half>) return aoti_torch_dtype_float16();
  if constexpr (std::is_same_v<T, int32_t>) return aoti_torch_dtype_int32();
  if constexpr (std::is_same_v<T, int64_t>) return aoti_torch_dtype_int64();
}

template <typename T>
View<T> view(AtenTensorHandle tensor) {
  if (dtype(tensor) != dtype_of<T>()) throw std::runtime_error("a tensor is of another dtype than expected");
  int64_t axes;
  int64_t *sizes, *strides;
  void* data;
  check(aoti_torch_get_dim(tensor, &axes), "number of axes of a tensor");
  check(aoti_torch_get_sizes(tensor, &sizes), "sizes of a tensor");
  check(aoti_torch_get_strides(tensor, &strides), "strides of a tensor");
  check(aoti_torch_get_data_ptr(tensor, &data), "data of a tensor");
  if (axes > 3) throw std::runtime_error("expected a tensor of at most 3 axes");
  View<T> result{static_cast<T*>(data)};
  for (int64_t axis = 0; axis < axes; ++axis) {
    result.sizes[axis] = sizes[axis];
    result.strides[axis] = strides[axis];
  }
  return result;
}

// A view whose elements lie one after the other.
template <typename T>
View<T> packed(AtenTensorHandle tensor) {
  View<T> result = view<T>(tensor);
  int64_t expected = 1;
  for (int axis = 2; axis >= 0; --axis) {
    if (result.sizes[axis] != 1 && result.strides[axis] != expected)
      throw std::runtime_error("expected a contiguous tensor");
    expected *= std::max<int64_t>(result.sizes[axis], 1);
  }
  return result;
}

// A new float32 tensor [rows, columns] on the CPU, and a view of it.
inline View<float> new_plane(int64_t rows, int64_t columns, AtenTensorHandle* tensor) {
  const int64_t sizes[] = {rows, columns}, strides[] = {columns, 1};
  check(aoti_torch_empty_strided(2, sizes, strides, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(),
                                 0, tensor),
        "memory for the result");
  return view<float>(*tensor);
}

// Calls `task` and tells what goes wrong, which the runtime would report as a failed call alone.
template <typename Task>
AOTITorchError reported(const char* operation, Task task) {
  try {
    task();
    return AOTI_TORCH_SUCCESS;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "neurocity::%s: %s\n", operation, error.what());
    return AOTI_TORCH_FAILURE;
  }
}

// Calls task(begin, end) for parts of [0, count), on the threads that the runtime gives.
template <typename Task>
void in_parallel(int64_t count, int64_t part, Task task) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (int64_t begin = 0; begin < count; begin += part) {
    try {
      task(begin, std::min(begin + part, count));
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace neurocity
