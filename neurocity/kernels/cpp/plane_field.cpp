#include "plane_field.hpp"

using namespace neurocity;

// The light of rays, `ray_parts` of them, in the field of Grid-NeRF.
NEUROCITY_EXPORT int32_t nc_render_plane_field(const PlaneFieldCall* call, Work* work) {
  return render_plane_field(call->field, call->rays, call->light, work);
}
