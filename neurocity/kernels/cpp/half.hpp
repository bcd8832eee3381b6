// Stored numbers: float, or `Half`, the 16-bit float of IEEE 754.

#pragma once

#include <cstdint>
#include <cstring>

#include "lanes.hpp"

namespace neurocity {

// _Float16 is not known to all compilers in use.
struct Half {
  uint16_t bits;

  operator float() const {
#if defined(__F16C__)
    return _cvtsh_ss(bits);
#else
    // The exponent's bias is mended by a product, which makes subnormal numbers normal as well.
    const uint32_t sign = (bits & 0x8000u) << 16, magnitude = (bits & 0x7fffu) << 13;
    const bool is_special = (bits & 0x7c00u) == 0x7c00u;
    const uint32_t pattern = is_special ? magnitude | 0x7f800000u : magnitude;
    float value;
    std::memcpy(&value, &pattern, sizeof value);
    if (!is_special) value *= 5.192296858534828e33f;  // 2^112
    uint32_t result;
    std::memcpy(&result, &value, sizeof result);
    result |= sign;
    std::memcpy(&value, &result, sizeof value);
    return value;
#endif
  }
};

// Four stored numbers one after the other.
inline Lanes<4> load_four(const float* stored) { return Lanes<4>::load(stored); }
inline Lanes<4> load_four(const Half* stored) {
#if defined(__F16C__)
  return Lanes<4>::of(
      (RawLanes<4>::Floats)_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(stored))));
#else
  typedef uint16_t Halves __attribute__((vector_size(8)));
  typedef RawLanes<4>::Ints Ints;
  Halves halves;
  std::memcpy(&halves, stored, sizeof halves);
  const Ints bits = __builtin_convertvector(halves, Ints), magnitude = (bits & 0x7fff) << 13;
  const RawLanes<4>::Floats finite = (RawLanes<4>::Floats)magnitude * 5.192296858534828e33f;
  const Ints value = (bits & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : (Ints)finite;
  return Lanes<4>::of((RawLanes<4>::Floats)(value | (bits & 0x8000) << 16));
#endif
}

}  // namespace neurocity
