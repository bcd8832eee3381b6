/** Whether a browser can draw web scenes, found out before anything is loaded. */

import { PictureProgram } from "./programs.js";
import { FRAGMENT_START } from "./shared.glsl.js";
import { emptyTexture } from "./textures.js";

const LEAST_TEXTURE = 4096;

/** Attributes of the context of a canvas that shows a scene. */
export const CONTEXT = { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" };

/** Null, or a sentence about what is missing. */
export function whatIsMissing() {
  if (typeof DecompressionStream === "undefined") return "This browser is too old: it has no DecompressionStream.";
  const gl = document.createElement("canvas").getContext("webgl2", CONTEXT);
  if (!gl) return "This browser does not offer WebGL2: it is switched off, or the graphics driver lacks it.";
  try {
    return whatContextLacks(gl);
  } finally {
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function whatContextLacks(gl) {
  // Whole numbers are tried below: Firefox says on OpenGL that they have 24 bits, and they have 32.
  const float = gl.getShaderPrecisionFormat(gl.FRAGMENT_SHADER, gl.HIGH_FLOAT);
  if (float.precision < 23) return "This graphics processor does not compute with 32 bits.";
  const size = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  if (size < LEAST_TEXTURE) return `This graphics processor has textures of ${size} rows; it needs ${LEAST_TEXTURE}.`;
  if (!keepsNumbers(gl)) return "This graphics driver does not read whole numbers of 32 bits from textures as they are.";
  return null;
}

/** Some drivers say that they have 32 bits and do not: a known texel must come back as it is. */
function keepsNumbers(gl) {
  const words = new Uint32Array([0x89abcdef, 0xfffffffe, 0x01000001, 0x7f7fffff]);
  const texture = emptyTexture(gl, gl.RGBA32UI, 1, 1);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 1, 1, gl.RGBA_INTEGER, gl.UNSIGNED_INT, words);
  const program = new PictureProgram(gl, `${FRAGMENT_START}
uniform usampler2D probe;
uniform float one;
out vec4 pixel;
void main() {
  uvec4 word = texelFetch(probe, texel(int(one) - 1), 0);
  bool is_exact = word.x == 0x89abcdefu && word.y == 0xfffffffeu && word.z == 0x01000001u;
  bool is_float = uintBitsToFloat(word.w) > 3.4e38 && one + 1.0 / 8388608.0 > one;
  pixel = vec4(is_exact, is_float, int(one) * 0x7fffffff > 0x7ffffffe, 1.0);
}
`);
  program.use({ one: 1 }, { probe: texture });
  gl.viewport(0, 0, 1, 1);
  gl.drawArrays(gl.TRIANGLES, 0, 3);
  const pixel = new Uint8Array(4);
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  return pixel.every((value) => value === 255);
}
