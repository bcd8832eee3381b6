// Rows of a table, of float or Half, as lanes of float.

#pragma once

#include <cstring>

#include "half.hpp"
#include "lanes.hpp"

namespace neurocity {

template <int N>
Lanes<N> load_row(const float* row) {
  return Lanes<N>::load(row);
}

template <int N>
Lanes<N> load_row(const Half* row) {
  Lanes<N> result;
#if defined(__F16C__)
  if constexpr (N == 2 || N == 4) {
    int64_t bits = 0;
    std::memcpy(&bits, row, sizeof(Half) * N);
    const __m128 floats = _mm_cvtph_ps(_mm_cvtsi64_si128(bits));
    std::memcpy(&result.v, &floats, sizeof result.v);
    return result;
  }
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_cvtph_ps(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row))));
#endif
  if constexpr (N == 8 || N == 16) {
    __m256 floats[N / 8];
    for (int half = 0; half < N / 8; ++half)
      floats[half] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 8 * half)));
    std::memcpy(&result.v, floats, sizeof result.v);
    return result;
  }
#endif
  for (int lane = 0; lane < N; ++lane) result.set(lane, static_cast<float>(row[lane]));
  return result;
}

}  // namespace neurocity
