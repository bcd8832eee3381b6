// What stands behind everything in a scene that is not cut out: `rendering.mlp.SkyNet`.

#pragma once

#include "spherical_harmonics.hpp"

namespace neurocity {

constexpr int SKY_WIDTH = 32;

// Colours in (0, 1) by unit directions; NaN where a direction is NaN.
// weights: of the hidden layer [SKY_WIDTH, MAX_HARMONICS], then of the colours [3, SKY_WIDTH].
template <int N>
void sky_colors(const float* weights, const Lanes<N> (&direction)[3], Lanes<N> (&rgb)[3]) {
  Lanes<N> basis[MAX_HARMONICS];
  spherical_harmonics(direction[0], direction[1], direction[2], MAX_HARMONICS, basis);
  const float* const outputs = weights + SKY_WIDTH * MAX_HARMONICS;
  for (Lanes<N>& value : rgb) value = 0.0f;
  for (int unit = 0; unit < SKY_WIDTH; ++unit) {
    const float* const row = weights + unit * MAX_HARMONICS;
    // Two sums, since each waits for its last product.
    Lanes<N> even = row[0] * basis[0], odd = row[1] * basis[1];
    for (int index = 2; index < MAX_HARMONICS; index += 2) {
      even = fused(Lanes<N>(row[index]), basis[index], even);
      odd = fused(Lanes<N>(row[index + 1]), basis[index + 1], odd);
    }
    const Lanes<N> hidden = max(Lanes<N>(0.0f), even + odd);  // NaN stays
    for (int channel = 0; channel < 3; ++channel)
      rgb[channel] = fused(Lanes<N>(outputs[channel * SKY_WIDTH + unit]), hidden, rgb[channel]);
  }
  for (Lanes<N>& value : rgb) value = select(value == value, 1.0f / (1.0f + exponential(-value)), value);
}

// Puts rays that end in `opacity` before the sky, which is `far` away and opaque.
template <int N>
void composite_over_sky(const float* weights, float far, const Lanes<N> (&direction)[3], Lanes<N> (&rgb)[3],
                        Lanes<N>& depth, Lanes<N>& opacity) {
  const Lanes<N> rest = 1.0f - opacity;
  depth = depth * opacity + rest * far;
  opacity = 1.0f;
  if (!any(rest > Lanes<N>(0.0f))) return;  // colours are finite where rays met something
  Lanes<N> sky[3];
  sky_colors(weights, direction, sky);
  for (int channel = 0; channel < 3; ++channel) rgb[channel] = fused(rest, sky[channel], rgb[channel]);
}

}  // namespace neurocity
