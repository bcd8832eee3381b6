/** GLSL: the colour in which a cell is seen, from the spherical harmonics that are stored for it. */

import { FRAGMENT_START, harmonic } from "./shared.glsl.js";

const COMPONENTS = ["x", "y", "z", "w"];

/** Texels of the texture of colours that a cell has. */
export function colourTexels({ degree, floats }) {
  const harmonics = (degree + 1) ** 2;
  return floats ? Math.ceil((3 * harmonics) / 4) : Math.ceil((6 + 3 * (harmonics - 1)) / 16);
}

/**
 * `vec3 cell_colour(int cell, vec3 d)`: not clamped; d: unit vector from the eye to the cell's centre.
 *
 * A cell of whole numbers has the constants of red, green and blue, 16 bits each, and a byte for each further
 * coefficient: first all three of the first harmonic. A cell of floats has the coefficients in the same order.
 * The bytes have signs.
 */
export function cellColour(model) {
  const { degree, floats } = model;
  const texels = colourTexels(model);
  const ranges = ["constant_low", "constant_step", "harmonic_step[15]"].map((name) => `uniform vec3 ${name};`);
  const lines = floats ? ["uniform sampler2D colours;"] : ["uniform usampler2D colours;", ...ranges];
  lines.push("vec3 cell_colour(int cell, vec3 d) {");
  const type = floats ? "vec4" : "uvec4";
  for (let number = 0; number < texels; number++) {
    lines.push(`  ${type} part${number} = texelFetch(colours, texel(cell * ${texels} + ${number}), 0);`);
  }
  const read = floats ? readFloat : readByte;
  const constant = floats
    ? rgb((channel) => readFloat(channel))
    : "constant_low + constant_step * vec3(part0.x & 65535u, part0.x >> 16u, part0.y & 65535u)";
  lines.push(`  vec3 sum = 0.5 + ${harmonic(0)} * (${constant});`);
  for (let number = 1; number < (degree + 1) ** 2; number++) {
    const place = floats ? 3 * number : 6 + 3 * (number - 1);
    const coefficient = rgb((channel) => read(place + channel));
    const value = floats ? coefficient : `harmonic_step[${number - 1}] * ${coefficient}`;
    lines.push(`  sum += ${harmonic(number)} * (${value});`);
  }
  lines.push("  return sum;", "}");
  return lines.join("\n");
}

/**
 * The shader that draws the colours of all cells as one eye sees them into a texture, a texel a cell: views are
 * from the eye to a cell's centre, so a cell has one colour for all rays of a picture.
 */
export function coloursShader(model) {
  return `${FRAGMENT_START}
${cellColour(model)}
uniform usampler2D places;
uniform vec3 eye;
uniform float brightest;
out uvec2 colour;

void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  uvec2 place = texelFetch(places, pixel, 0).xy;
  float side = 1.0 / float(1u << (place.y >> 16u));
  vec3 centre = (vec3(place.x & 65535u, place.x >> 16u, place.y & 65535u) + 0.5) * side;
  vec3 view = centre - eye;
  vec3 seen = cell_colour(pixel.y * textureSize(places, 0).x + pixel.x, view / max(length(view), 1e-12));
  seen = clamp(seen, 0.0, min(brightest, 65504.0));
  colour = uvec2(packHalf2x16(seen.rg), packHalf2x16(vec2(seen.b, 0.0)));
}
`;
}

function rgb(channel) {
  return `vec3(${[0, 1, 2].map(channel).join(", ")})`;
}

function readFloat(index) {
  return `part${index >> 2}.${COMPONENTS[index & 3]}`;
}

function readByte(index) {
  return `float(int(part${index >> 4}.${COMPONENTS[(index >> 2) & 3]} << ${24 - 8 * (index & 3)}u) >> 24)`;
}
