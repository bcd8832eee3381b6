#include "rays.hpp"

#include "work.hpp"

// See `ray_parts`.
NEUROCITY_EXPORT int64_t nc_ray_parts(const neurocity::Rays* rays) { return neurocity::ray_parts(*rays); }
