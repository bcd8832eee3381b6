/**
 * GLSL that several shaders have in common.
 *
 * Everything is highp, samplers too: their default is lowp, and phones mean it. Texels of a texture are one long
 * row, cut into rows of ROW.
 */

const ROW_BITS = 12;
export const ROW = 1 << ROW_BITS;

export const FRAGMENT_START = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

ivec2 texel(int index) {
  return ivec2(index & ${ROW - 1}, index >> ${ROW_BITS});
}
`;

/** A triangle that covers the picture. */
export const WHOLE_PICTURE = `#version 300 es
void main() {
  vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}
`;

const HARMONICS = [
  "0.28209479177387814",
  "-0.4886025119029199 * d.y",
  "0.4886025119029199 * d.z",
  "-0.4886025119029199 * d.x",
  "1.0925484305920792 * d.x * d.y",
  "-1.0925484305920792 * d.y * d.z",
  "0.31539156525252005 * (3.0 * d.z * d.z - 1.0)",
  "-1.0925484305920792 * d.x * d.z",
  "0.5462742152960396 * (d.x * d.x - d.y * d.y)",
  "-0.5900435899266435 * d.y * (3.0 * d.x * d.x - d.y * d.y)",
  "2.890611442640554 * d.x * d.y * d.z",
  "-0.4570457994644658 * d.y * (5.0 * d.z * d.z - 1.0)",
  "0.3731763325901154 * d.z * (5.0 * d.z * d.z - 3.0)",
  "-0.4570457994644658 * d.x * (5.0 * d.z * d.z - 1.0)",
  "1.445305721320277 * d.z * (d.x * d.x - d.y * d.y)",
  "-0.5900435899266435 * d.x * (d.x * d.x - 3.0 * d.y * d.y)",
];

/** The real spherical harmonic of that number as an expression of the unit vector `d`. */
export function harmonic(number) {
  return HARMONICS[number];
}
