// What the library is made of and made for.

#include <initializer_list>

#include "work.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace {

#if defined(__x86_64__)
// The registers that the instruction cpuid fills for a leaf; 0 where the processor has no such leaf.
struct Features {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

  explicit Features(unsigned leaf) { __get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx); }
};

// Which registers the system keeps when it changes threads.
unsigned kept_registers() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr bool has_bits(unsigned bits, std::initializer_list<int> wanted) {
  for (const int bit : wanted)
    if (!(bits >> bit & 1)) return false;
  return true;
}
#endif

}  // namespace

// SHA-256 of all sources.
NEUROCITY_EXPORT const char* nc_sources() { return NEUROCITY_SOURCES; }

// The place of this processor in `build.PROCESSORS`, or -1. The bits are those of the psABI's levels
// x86-64-v2 to -v4; Intel's manual, volume 2, has them under CPUID. (__builtin_cpu_supports knows no
// processor where Zig compiles.)
NEUROCITY_EXPORT int32_t nc_processor() {
#if defined(__x86_64__)
  const Features basic(1), more(7), extended(0x80000001);
  // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF.
  if (!has_bits(basic.ecx, {0, 9, 13, 19, 20, 23}) || !has_bits(extended.ecx, {0})) return -1;
  // FMA, MOVBE, OSXSAVE, AVX, F16C; LZCNT; BMI1, AVX2, BMI2.
  if (!has_bits(basic.ecx, {12, 22, 27, 28, 29}) || !has_bits(extended.ecx, {5}) ||
      !has_bits(more.ebx, {3, 5, 8}) || !has_bits(kept_registers(), {1, 2}))
    return 0;
  // AVX-512 F, DQ, CD, BW, VL.
  const bool is_wide = has_bits(more.ebx, {16, 17, 28, 30, 31}) && has_bits(kept_registers(), {5, 6, 7});
  return is_wide ? 2 : 1;
#else
  return 0;
#endif
}
