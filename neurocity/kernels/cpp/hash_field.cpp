#include "hash_field.hpp"

using namespace neurocity;

// The light of rays, `ray_parts` of them, in the field of Instant-NGP.
NEUROCITY_EXPORT int32_t nc_render_hash_field(const HashFieldCall* call, Work* work) {
  return render_hash_field(call->field, call->rays, call->light, work);
}
