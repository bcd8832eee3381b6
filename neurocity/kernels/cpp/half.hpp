// Stored numbers: float, or `Half`, the 16-bit float of IEEE 754.

#pragma once

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

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

}  // namespace neurocity
