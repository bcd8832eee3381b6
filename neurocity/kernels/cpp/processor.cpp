// What the library is made of and made for.

#include "work.hpp"

// SHA-256 of all sources.
NEUROCITY_EXPORT const char* nc_sources() { return NEUROCITY_SOURCES; }

// The place of this processor in `build.PROCESSORS`.
NEUROCITY_EXPORT int32_t nc_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v3 ? (v4 ? 2 : 1) : 0;
#else
  return 0;
#endif
}
