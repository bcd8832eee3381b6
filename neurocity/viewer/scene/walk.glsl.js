/**
 * GLSL: the light of one ray through the octree; the arithmetic of neurocity/kernels/cpp/voxels.hpp.
 *
 * A ray is at depth t in a node. It climbs where t is beyond the node's end, and otherwise looks into the child
 * that is at t, up to the next of the node's planes. Depths depend on the ray and the plane alone, so pieces of
 * a ray meet without a gap, and there is no stack, no sorting, and no tolerance. Sides and centres are exact:
 * they change by factors of two.
 */

import { cellColour } from "./colours.glsl.js";
import { FRAGMENT_START, harmonic } from "./shared.glsl.js";

/** Pieces that a ray may have at most: ten times what the finest octrees take. What is cut off is reported. */
export const MOST_LOOPS = 8192;

const FOUR = [0, 1, 2, 3];
const SKY_BASIS = FOUR.map((row) => `vec4(${FOUR.map((index) => harmonic(4 * row + index)).join(", ")})`);

const SKY = `
uniform sampler2D sky;  // a row for each of 32 hidden units: 16 weights, then those of red, green, blue

vec3 sky_colour(vec3 d) {
  vec4 basis[4];
${SKY_BASIS.map((four, row) => `  basis[${row}] = ${four};`).join("\n")}
  vec3 sum = vec3(0.0);
  for (int unit = 0; unit < 32; unit++) {
    float hidden = dot(texelFetch(sky, ivec2(0, unit), 0), basis[0]) + dot(texelFetch(sky, ivec2(1, unit), 0), basis[1])
      + dot(texelFetch(sky, ivec2(2, unit), 0), basis[2]) + dot(texelFetch(sky, ivec2(3, unit), 0), basis[3]);
    sum += max(hidden, 0.0) * texelFetch(sky, ivec2(4, unit), 0).rgb;
  }
  return 1.0 / (1.0 + exp(-sum));
}
`;

const CORNERS_OF_FLOATS = `
uniform sampler2D corners;

float raw_density(vec4 low, vec4 high, vec3 place) {
  vec4 face = low + place.x * (high - low);
  vec2 edge = face.xy + place.y * (face.zw - face.xy);
  return edge.x + place.z * (edge.y - edge.x);
}
`;

/** Values are interpolated as bytes: that is the same, and they are turned into densities once. */
const CORNERS_OF_BYTES = `
uniform usampler2D corners;
uniform vec2 density_range;

vec4 bytes(uint word) {
  return vec4(word & 255u, word >> 8u & 255u, word >> 16u & 255u, word >> 24u);
}

float raw_density(vec4 low, vec4 high, vec3 place) {
  vec4 face = low + place.x * (high - low);
  vec2 edge = face.xy + place.y * (face.zw - face.xy);
  return density_range.x + density_range.y * (edge.x + place.z * (edge.y - edge.x));
}
`;

const FETCH_FLOATS = `
        vec4 low = texelFetch(corners, texel(2 * cell), 0);
        vec4 high = texelFetch(corners, texel(2 * cell + 1), 0);`;

const FETCH_BYTES = `
        uvec2 words = texelFetch(corners, texel(cell), 0).xy;
        vec4 low = bytes(words.x);
        vec4 high = bytes(words.y);`;

const SEEN_COLOUR = `
uniform usampler2D seen_colours;

vec3 colour_of(int cell, vec3 centre) {
  uvec2 seen = texelFetch(seen_colours, texel(cell), 0).xy;
  return vec3(unpackHalf2x16(seen.x), unpackHalf2x16(seen.y).x);
}
`;

const COMPUTED_COLOUR = `
vec3 colour_of(int cell, vec3 centre) {
  vec3 view = centre - eye;
  return clamp(cell_colour(cell, view / max(length(view), 1e-12)), 0.0, brightest);
}
`;

/** What leaves the shader that shows pictures: bytes. Rays that were cut off are magenta. */
const SHOWN = `
uniform int shown;  // 0: colour, 1: opacity, 2: colours of depth, 3: depth, 4: depth of what is solid
uniform vec3 background;
uniform vec2 depth_range;
uniform vec3 no_depth;
uniform sampler2D depth_ramp;  // 256 colours
out vec4 pixel;

/** The bytes of a float. */
vec4 bytes_of(float value) {
  uint bits = floatBitsToUint(value);
  return vec4(bits & 255u, bits >> 8u & 255u, bits >> 16u & 255u, bits >> 24u) / 255.0;
}

vec3 depth_colour(float depth) {
  float place = (depth - depth_range.x) * 255.0 / max(depth_range.y - depth_range.x, 1e-9);
  vec3 colour = texelFetch(depth_ramp, ivec2(int(clamp(place, 0.0, 255.0) + 0.5), 0), 0).rgb;
  return depth > 0.0 ? colour : no_depth;
}

void give(vec3 light, float depth, float opacity) {
  if (shown == 3) pixel = bytes_of(depth);
  else if (shown == 4) pixel = bytes_of(solid_depth);
  else if (is_cut_off) pixel = vec4(1.0, 0.0, 1.0, 1.0);
  else if (shown == 2) pixel = vec4(depth_colour(depth), 1.0);
  else pixel = vec4(shown == 0 ? light + (1.0 - opacity) * background : vec3(opacity), 1.0);
}
`;

/** What leaves the shader that proofs use: floats. A negative opacity says that the ray was cut off. */
const PROVED = `
uniform int shown;  // 0: light and opacity, 3: depth, loops, fetches of nodes, opacity
out vec4 pixel;

void give(vec3 light, float depth, float opacity) {
  float end = is_cut_off ? -1.0 : opacity;
  pixel = shown == 0 ? vec4(light, end) : vec4(depth, loops, fetches, end);
}
`;

/**
 * The fragment shader of a model { degree, samples, floats, hasSky }.
 *
 * isProof: floats go out, and colours are computed for each ray and cell; otherwise bytes go out, and colours are
 * those that `colours.glsl.js` has drawn for the eye.
 */
export function walkShader(model, { isProof = false, mostLoops = MOST_LOOPS } = {}) {
  const { samples, floats, hasSky } = model;
  return `${FRAGMENT_START}
uniform usampler2D nodes;
uniform vec3 eye;  // in the octree's unit cube
uniform mat3 axes;  // of the camera in the world: right, up, back
uniform vec4 lens;  // fl_x, fl_y, cx, cy
uniform float root_side;
uniform float near;
uniform float far;
uniform float density_scale;
uniform float brightest;
uniform float least_light;
uniform float faintest;
uniform int deepest;  // cells of this level are voxels, whatever is in them
uniform float footprint;  // so are cells whose side is below this times the depth
${floats ? CORNERS_OF_FLOATS : CORNERS_OF_BYTES}
${isProof ? cellColour(model) + COMPUTED_COLOUR : SEEN_COLOUR}
${hasSky ? SKY : ""}
int loops = 0;
int fetches = 1;  // of nodes
bool is_cut_off = false;
float solid_depth = 0.0;  // of what stops half of the light; 0 where nothing does

${isProof ? PROVED : SHOWN}

int ones(uint bits) {
  bits -= bits >> 1u & 0x55u;
  bits = (bits & 0x33u) + (bits >> 2u & 0x33u);
  return int((bits + (bits >> 4u)) & 15u);
}

float least(vec3 v) {
  return min(v.x, min(v.y, v.z));
}

float greatest(vec3 v) {
  return max(v.x, max(v.y, v.z));
}

float activated(float raw) {
  return raw > 1.1 ? raw : exp(raw / 1.1 - 0.904689820196);
}

float absorbed_share(float tau) {
  return tau < 0.02 ? tau * (1.0 - tau * (0.5 - tau * (1.0 / 6.0 - tau / 24.0))) : 1.0 - exp(-tau);
}

void main() {
  // Pictures are drawn with their first row at the bottom, where textures and files begin.
  vec2 place = (gl_FragCoord.xy - lens.zw) / lens.xy;
  vec3 direction = normalize(axes * vec3(place.x, -place.y, -1.0));
  vec3 speed = direction / root_side;
  bvec3 is_small = lessThan(abs(speed) * 1e30, vec3(1.0));
  vec3 inverse = mix(1.0 / mix(speed, vec3(1.0), is_small), vec3(1e30), is_small);
  bvec3 rises = greaterThan(inverse, vec3(0.0));
  vec3 ahead = mix(vec3(-1.0), vec3(1.0), rises);

  vec3 to_low = -eye * inverse;
  vec3 to_high = (1.0 - eye) * inverse;
  float t = max(near, greatest(min(to_low, to_high)));
  float way_out = least(max(to_low, to_high));

  vec3 centre = vec3(0.5);
  float half_side = 0.5;
  float scale = 1.0;  // 1 / side
  int level = 0;
  uvec4 node = texelFetch(nodes, ivec2(0, 0), 0);

  vec3 light = vec3(0.0);
  float depth = 0.0;
  float opacity = 0.0;
  float left = 1.0;
  bool goes_on = t < way_out;
  for (; loops < ${mostLoops}; loops++) {
    if (!goes_on) break;
    float node_end = least((centre + half_side * ahead - eye) * inverse);
    if (t >= node_end) {
      goes_on = level > 0;
      level -= 1;
      half_side *= 2.0;
      scale *= 0.5;
      centre = (floor(centre * scale) + 0.5) * (2.0 * half_side);
      node = texelFetch(nodes, texel(int(node.z)), 0);
      fetches += 1;
    } else {
      vec3 planes = (centre - eye) * inverse;
      bvec3 is_beyond = lessThanEqual(planes, vec3(t));
      float piece_end = min(node_end, least(mix(planes, vec3(1e37), is_beyond)));
      bvec3 is_high = equal(is_beyond, rises);
      uint bit = 1u << (int(is_high.x) * 4 + int(is_high.y) * 2 + int(is_high.z));
      uint filled = node.x >> 24u;
      uint inner = node.y >> 24u;
      vec3 child = centre + 0.5 * half_side * mix(vec3(-1.0), vec3(1.0), is_high);
      if ((filled & bit) == 0u) {
        t = piece_end;
      } else if ((inner & bit) != 0u && level + 1 < deepest && half_side > t * footprint) {
        node = texelFetch(nodes, texel(int(node.y & 0xffffffu) + ones(inner & (bit - 1u))), 0);
        fetches += 1;
        centre = child;
        half_side *= 0.5;
        scale *= 2.0;
        level += 1;
      } else {
        int cell = int(node.x & 0xffffffu) + ones(filled & (bit - 1u));${floats ? FETCH_FLOATS : FETCH_BYTES}
        float scale_of_child = 2.0 * scale;
        float width = (piece_end - t) * ${(1 / samples).toFixed(12)};
        vec3 start = (eye - (child - 0.5 * half_side)) * scale_of_child;
        float density = 0.0;
        for (int number = 0; number < ${samples}; number++) {
          float middle = (t + (float(number) + 0.5) * width) * scale_of_child;
          density += activated(raw_density(low, high, clamp(start + speed * middle, 0.0, 1.0)));
        }
        float absorbed = left * absorbed_share(density * width * density_scale);
        float weight = max(min(absorbed, left - least_light), 0.0) / (1.0 - least_light);
        left -= absorbed;
        opacity += weight;
        depth += weight * 0.5 * (t + piece_end);
        if (weight > faintest) light += weight * colour_of(cell, child);
        t = piece_end;
        goes_on = left > least_light;
      }
    }
  }
  opacity = min(opacity, 1.0);
  depth /= max(opacity, 1e-6);
  if (opacity <= 1e-6) depth = 0.0;
  is_cut_off = goes_on;
  solid_depth = opacity < 0.5 ? 0.0 : depth;
${hasSky ? `
  float rest = 1.0 - opacity;
  light += rest * sky_colour(direction);
  depth = depth * opacity + rest * far;
  opacity = 1.0;` : ""}
  give(light, depth, opacity);
}
`;
}
