// Vectors of as many floats as the processor adds at once.

#pragma once

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace neurocity {

#if defined(__AVX512F__)
using Lanes = __m512;
constexpr int REGISTERS = 32;
inline Lanes fused(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
#elif defined(__AVX2__) && defined(__FMA__)
using Lanes = __m256;
constexpr int REGISTERS = 16;
inline Lanes fused(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
#else
using Lanes = float __attribute__((vector_size(16)));
constexpr int REGISTERS = 16;
inline Lanes fused(Lanes a, Lanes b, Lanes c) { return a * b + c; }
#endif

constexpr int LANES = sizeof(Lanes) / sizeof(float);

inline Lanes load(const float* values) {
  Lanes result;
  __builtin_memcpy(&result, values, sizeof result);
  return result;
}

inline void store(float* values, Lanes lanes) { __builtin_memcpy(values, &lanes, sizeof lanes); }

inline Lanes all(float value) { return Lanes{} + value; }

// Numbers of floats that fill whole vectors.
constexpr int whole(int count) { return (count + LANES - 1) / LANES * LANES; }

}  // namespace neurocity
