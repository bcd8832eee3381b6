// Numbers of N rays or points side by side: `Lanes<N>`, with comparisons that give `Mask<N>`.
//
// A function of lanes gives each lane the same bits for N = WIDTH and N = 1: sums of products are fused where
// `fused` says so and nowhere else (`build.FLAGS`), and no operation crosses lanes but those on masks.

#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>

namespace neurocity {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX2__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif

template <int N>
struct RawLanes {
  typedef float Floats __attribute__((vector_size(4 * N)));
  typedef int32_t Ints __attribute__((vector_size(4 * N)));
  typedef Ints Bits;
};
template <>
struct RawLanes<1> {
  typedef float Floats;
  typedef int32_t Ints;
  typedef bool Bits;
};
#if defined(__AVX512F__)
template <>
struct RawLanes<16> {
  typedef float Floats __attribute__((vector_size(64)));
  typedef int32_t Ints __attribute__((vector_size(64)));
  typedef __mmask16 Bits;
};
constexpr bool has_mask_registers(int lanes) { return lanes == 16; }
#else
constexpr bool has_mask_registers(int) { return false; }
#endif

// Which of N lanes something holds for.
template <int N>
struct Mask {
  typename RawLanes<N>::Bits bits;

  friend Mask operator&(Mask a, Mask b) { return {static_cast<typename RawLanes<N>::Bits>(a.bits & b.bits)}; }
  friend Mask operator|(Mask a, Mask b) { return {static_cast<typename RawLanes<N>::Bits>(a.bits | b.bits)}; }
  friend Mask operator!(Mask a) {
    if constexpr (N == 1)
      return {!a.bits};
    else
      return {static_cast<typename RawLanes<N>::Bits>(~a.bits)};
  }

  bool operator[](int lane) const {
    if constexpr (N == 1)
      return bits;
    else if constexpr (has_mask_registers(N))
      return bits >> lane & 1;
    else
      return bits[lane] != 0;
  }
};

template <int N>
bool any(Mask<N> mask) {
  if constexpr (N == 1 || has_mask_registers(N)) {
    return mask.bits != 0;
  } else {
#if defined(__AVX2__)
    if constexpr (N == 8) return _mm256_movemask_ps(reinterpret_cast<__m256>(mask.bits)) != 0;
#endif
#if defined(__SSE2__)
    if constexpr (N == 4) return _mm_movemask_ps(reinterpret_cast<__m128>(mask.bits)) != 0;
#endif
    for (int lane = 0; lane < N; ++lane)
      if (mask[lane]) return true;
    return false;
  }
}

// Calls task(lane) where the mask is true.
template <int N, typename Task>
void for_each_lane(Mask<N> mask, Task task) {
  if constexpr (has_mask_registers(N)) {
    for (unsigned bits = mask.bits; bits; bits &= bits - 1) task(__builtin_ctz(bits));
  } else {
    for (int lane = 0; lane < N; ++lane)
      if (mask[lane]) task(lane);
  }
}

template <int N>
bool all_of(Mask<N> mask) {
  return !any(!mask);
}

template <int N>
struct Lanes {
  typename RawLanes<N>::Floats v;

  Lanes() = default;
  Lanes(float value) : v(value - typename RawLanes<N>::Floats{}) {}  // minus 0: nothing to compute
  static Lanes of(typename RawLanes<N>::Floats values) {
    Lanes result;
    result.v = values;
    return result;
  }
  static Lanes load(const float* values) {
    Lanes result;
    std::memcpy(&result.v, values, sizeof result.v);
    return result;
  }
  void store(float* values) const { std::memcpy(values, &v, sizeof v); }

  float operator[](int lane) const {
    if constexpr (N == 1)
      return v;
    else
      return v[lane];
  }
  void set(int lane, float value) {
    if constexpr (N == 1)
      v = value;
    else
      v[lane] = value;
  }

  friend Lanes operator+(Lanes a, Lanes b) { return of(a.v + b.v); }
  friend Lanes operator-(Lanes a, Lanes b) { return of(a.v - b.v); }
  friend Lanes operator*(Lanes a, Lanes b) { return of(a.v * b.v); }
  friend Lanes operator/(Lanes a, Lanes b) { return of(a.v / b.v); }
  friend Lanes operator-(Lanes a) { return of(-a.v); }
  Lanes& operator+=(Lanes b) { return *this = *this + b; }
  Lanes& operator-=(Lanes b) { return *this = *this - b; }
  Lanes& operator*=(Lanes b) { return *this = *this * b; }

  friend Mask<N> operator<(Lanes a, Lanes b) {
#if defined(__AVX512F__)
    if constexpr (N == 16)
      return {_mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, _CMP_LT_OQ)};
    else
#endif
      return {a.v < b.v};
  }
  friend Mask<N> operator<=(Lanes a, Lanes b) {
#if defined(__AVX512F__)
    if constexpr (N == 16)
      return {_mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, _CMP_LE_OQ)};
    else
#endif
      return {a.v <= b.v};
  }
  friend Mask<N> operator>(Lanes a, Lanes b) { return b < a; }
  friend Mask<N> operator>=(Lanes a, Lanes b) { return b <= a; }
  // False where either is NaN.
  friend Mask<N> operator==(Lanes a, Lanes b) {
#if defined(__AVX512F__)
    if constexpr (N == 16)
      return {_mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, _CMP_EQ_OQ)};
    else
#endif
      return {a.v == b.v};
  }
};

// `a` where the mask is true, else `b`.
template <int N>
Lanes<N> select(Mask<N> mask, Lanes<N> a, Lanes<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of(
        (typename RawLanes<N>::Floats)_mm512_mask_blend_ps(mask.bits, (__m512)b.v, (__m512)a.v));
  else
#endif
    return Lanes<N>::of(mask.bits ? a.v : b.v);
}

// The smaller of both; `b` where either is NaN, on every processor.
template <int N>
Lanes<N> min(Lanes<N> a, Lanes<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_min_ps((__m512)a.v, (__m512)b.v));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm256_min_ps((__m256)a.v, (__m256)b.v));
#endif
#if defined(__SSE2__)
  if constexpr (N == 4)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm_min_ps((__m128)a.v, (__m128)b.v));
#endif
  return select(a < b, a, b);
}

// The larger of both; `b` where either is NaN, on every processor.
template <int N>
Lanes<N> max(Lanes<N> a, Lanes<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_max_ps((__m512)a.v, (__m512)b.v));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm256_max_ps((__m256)a.v, (__m256)b.v));
#endif
#if defined(__SSE2__)
  if constexpr (N == 4)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm_max_ps((__m128)a.v, (__m128)b.v));
#endif
  return select(a > b, a, b);
}

// a * b + c: rounded once where the processor can, twice elsewhere, for N = 1 and the WIDTH alike.
template <int N>
Lanes<N> fused(Lanes<N> a, Lanes<N> b, Lanes<N> c) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v));
#endif
#if defined(__FMA__)
  if constexpr (N == 8)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v));
  if constexpr (N == 4)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm_fmadd_ps((__m128)a.v, (__m128)b.v, (__m128)c.v));
  if constexpr (N == 1) return Lanes<N>::of(__builtin_fmaf(a.v, b.v, c.v));
#endif
  return a * b + c;
}

// N integers, one a lane.
template <int N>
struct LanesOfInt {
  typename RawLanes<N>::Ints v;

  LanesOfInt() = default;
  LanesOfInt(int32_t value) : v(value + typename RawLanes<N>::Ints{}) {}
  static LanesOfInt of(typename RawLanes<N>::Ints values) {
    LanesOfInt result;
    result.v = values;
    return result;
  }
  static LanesOfInt load(const int32_t* values) {
    LanesOfInt result;
    std::memcpy(&result.v, values, sizeof result.v);
    return result;
  }
  void store(int32_t* values) const { std::memcpy(values, &v, sizeof v); }

  int32_t operator[](int lane) const {
    if constexpr (N == 1)
      return v;
    else
      return v[lane];
  }
  friend LanesOfInt operator+(LanesOfInt a, LanesOfInt b) { return of(a.v + b.v); }
  friend LanesOfInt operator*(LanesOfInt a, LanesOfInt b) { return of(a.v * b.v); }
  friend LanesOfInt operator&(LanesOfInt a, LanesOfInt b) { return of(a.v & b.v); }
  friend LanesOfInt operator^(LanesOfInt a, LanesOfInt b) { return of(a.v ^ b.v); }
};

// Truncated towards zero. Values must be within int32.
template <int N>
LanesOfInt<N> to_int(Lanes<N> a) {
  if constexpr (N == 1)
    return LanesOfInt<N>::of(static_cast<int32_t>(a.v));
  else
    return LanesOfInt<N>::of(__builtin_convertvector(a.v, typename RawLanes<N>::Ints));
}

template <int N>
Lanes<N> to_float(LanesOfInt<N> a) {
  if constexpr (N == 1)
    return Lanes<N>::of(static_cast<float>(a.v));
  else
    return Lanes<N>::of(__builtin_convertvector(a.v, typename RawLanes<N>::Floats));
}

template <int N>
Lanes<N> floor(Lanes<N> a) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_floor_ps((__m512)a.v));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return Lanes<N>::of((typename RawLanes<N>::Floats)_mm256_floor_ps((__m256)a.v));
#endif
#if defined(__SSE4_1__)
  if constexpr (N == 4) return Lanes<N>::of((typename RawLanes<N>::Floats)_mm_floor_ps((__m128)a.v));
#endif
  Lanes<N> result;
  for (int lane = 0; lane < N; ++lane) result.set(lane, std::floor(a[lane]));
  return result;
}

template <int N>
Lanes<N> square_root(Lanes<N> a) {
  float values[N];
  a.store(values);
  for (float& value : values) value = std::sqrt(value);
  return Lanes<N>::load(values);
}

template <int N>
Lanes<N> absolute(Lanes<N> a) {
  return max(a, -a);
}

// The rows `index` of a table of floats, which must be in it.
template <int N>
Lanes<N> gather(const float* table, LanesOfInt<N> index) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm512_i32gather_ps((__m512i)index.v, table, 4));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return Lanes<N>::of((typename RawLanes<N>::Floats)_mm256_i32gather_ps(table, (__m256i)index.v, 4));
#endif
  Lanes<N> result;
  for (int lane = 0; lane < N; ++lane) result.set(lane, table[index[lane]]);
  return result;
}

// The numbers of N at places `index`, which must be below N.
template <int N>
Lanes<N> permuted(Lanes<N> numbers, LanesOfInt<N> index) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return Lanes<N>::of(
        (typename RawLanes<N>::Floats)_mm512_permutexvar_ps((__m512i)index.v, (__m512)numbers.v));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8)
    return Lanes<N>::of(
        (typename RawLanes<N>::Floats)_mm256_permutevar8x32_ps((__m256)numbers.v, (__m256i)index.v));
#endif
  Lanes<N> result;
  for (int lane = 0; lane < N; ++lane) result.set(lane, numbers[index[lane]]);
  return result;
}

// A power of e as (1 + excess) * power: power is one of 2, and the excess is exact near 0.
template <int N>
struct Exponential {
  Lanes<N> excess, power;

  // x is taken to be within [-87, 88], NaN as 88.
  explicit Exponential(Lanes<N> x) {
    x = max(min(x, Lanes<N>(88.0f)), Lanes<N>(-87.0f));
    const Lanes<N> turns = floor(fused(x, Lanes<N>(1.44269504088896341f), Lanes<N>(0.5f)));
    Lanes<N> rest = fused(turns, Lanes<N>(-0.693359375f), x);
    rest = fused(turns, Lanes<N>(2.12194440e-4f), rest);
    // Cephes' expf: coefficients of a minimax polynomial on [-ln 2 / 2, ln 2 / 2].
    Lanes<N> sum = Lanes<N>(1.9875691500e-4f);
    sum = fused(sum, rest, Lanes<N>(1.3981999507e-3f));
    sum = fused(sum, rest, Lanes<N>(8.3334519073e-3f));
    sum = fused(sum, rest, Lanes<N>(4.1665795894e-2f));
    sum = fused(sum, rest, Lanes<N>(1.6666665459e-1f));
    sum = fused(sum, rest, Lanes<N>(5.0000001201e-1f));
    excess = fused(sum * rest, rest, rest);
    const typename RawLanes<N>::Ints bits = (to_int(turns).v + 127) * (1 << 23);
    std::memcpy(&power.v, &bits, sizeof bits);
  }
};

// e^x, within 2 units in the last place; x is taken to be within [-87, 88], NaN as 88.
template <int N>
Lanes<N> exponential(Lanes<N> x) {
  const Exponential<N> e(x);
  return (e.excess + 1.0f) * e.power;
}

// 1 - e^-x, within 2 units in the last place also where x is small; x is taken to be within [-88, 87].
template <int N>
Lanes<N> one_minus_exponential(Lanes<N> x) {
  const Exponential<N> e(-x);
  return fused(-e.excess, e.power, 1.0f - e.power);
}

// 1 - e^-x for an optical depth x >= 0, the share of light that stays; NaN stays.
template <int N>
Lanes<N> absorbed_share(Lanes<N> x) {
  return select(x == x, one_minus_exponential(x), x);
}

}  // namespace neurocity
