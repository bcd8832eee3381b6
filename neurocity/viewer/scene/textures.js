/** Textures of the cells of a scene, which fill as groups of them arrive. */

import { colourTexels } from "./colours.glsl.js";
import { ROW } from "./shared.glsl.js";

const SPARE_UNIT = 15; // the last one that every graphics processor has

/**
 * The textures of a model { degree, floats, cells, nodes }; cells, nodes: how many there will be.
 *
 * nodes: first child and, in the upper byte, which octants are filled; first inner child and which octants are
 * inner nodes; the parent. corners: densities, 8 bytes or floats by octant. colours: see `cellColour`.
 * places: x, y, z and the level, 16 bits each.
 */
export class CellTextures {
  #gl;
  #layouts;
  #textures = {};

  /** Throws an Error that says so where the graphics processor cannot hold the scene. */
  constructor(gl, model) {
    this.#gl = gl;
    const { floats, cells, nodes } = model;
    const four = floats ? floatTexels(gl) : wordTexels(gl);
    this.#layouts = {
      nodes: { ...wordTexels(gl), count: nodes, each: 1 },
      corners: floats ? { ...four, count: cells, each: 2 } : { ...pairTexels(gl), count: cells, each: 1 },
      colours: { ...four, count: cells, each: colourTexels(model) },
      places: { ...pairTexels(gl), count: cells, each: 1 },
    };
    const rows = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    for (const { count, each } of Object.values(this.#layouts)) {
      if (count * each > ROW * rows) {
        const most = Math.floor((ROW * rows) / each);
        throw new Error(
          `the scene has ${cells} cells, and this graphics processor holds ${most} at most (${rows} rows): ` +
            "look at it on the server, or export a smaller scene",
        );
      }
    }
    for (const [name, layout] of Object.entries(this.#layouts)) {
      this.#textures[name] = emptyTexture(gl, layout.format, ROW, rowsOf(layout));
    }
    if (gl.getError() === gl.OUT_OF_MEMORY) {
      this.delete();
      throw new Error(`this graphics processor has no room for the scene's ${Math.ceil(this.bytes / 1e6)} MB`);
    }
  }

  /** By the names of their samplers. */
  get all() {
    return this.#textures;
  }

  /** Bytes of memory that the textures take. */
  get bytes() {
    return Object.values(this.#layouts).reduce((sum, layout) => sum + rowsOf(layout) * ROW * layout.bytes, 0);
  }

  /** Write values of the texture `name`, from the cell or node `first` on. */
  write(name, first, values) {
    const gl = this.#gl;
    const { each, kind, channels, type, numbers } = this.#layouts[name];
    const texels = new numbers(values.buffer, values.byteOffset, values.byteLength / numbers.BYTES_PER_ELEMENT);
    bindToWrite(gl, this.#textures[name]);
    let index = first * each;
    const end = index + texels.length / channels;
    for (let read = 0; index < end; ) {
      const column = index % ROW;
      const width = Math.min(ROW - column, end - index);
      const height = width === ROW ? Math.floor((end - index) / ROW) : 1;
      const row = (index - column) / ROW;
      gl.texSubImage2D(gl.TEXTURE_2D, 0, column, row, width, height, kind, type, texels, read * channels);
      index += width * height;
      read += width * height;
    }
  }

  delete() {
    for (const texture of Object.values(this.#textures)) this.#gl.deleteTexture(texture);
  }
}

function rowsOf({ count, each }) {
  return Math.max(1, Math.ceil((count * each) / ROW));
}

/** A texture of zeros whose texels are fetched, never filtered. */
export function emptyTexture(gl, format, width, height) {
  const texture = gl.createTexture();
  bindToWrite(gl, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return texture;
}

/** Programs have their textures on the first units, which stay as they are. */
function bindToWrite(gl, texture) {
  gl.activeTexture(gl.TEXTURE0 + SPARE_UNIT);
  gl.bindTexture(gl.TEXTURE_2D, texture);
}

/** Texture of the sky's network of 608 weights, [32, 16] and then [3, 32], as `walkShader` reads it. */
export function skyTexture(gl, weights) {
  const texels = new Float32Array(32 * 20);
  for (let unit = 0; unit < 32; unit++) {
    const [red, green, blue] = [0, 1, 2].map((channel) => weights[512 + 32 * channel + unit]);
    texels.set([...weights.slice(16 * unit, 16 * unit + 16), red, green, blue], 20 * unit);
  }
  const texture = emptyTexture(gl, gl.RGBA32F, 5, 32);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 5, 32, gl.RGBA, gl.FLOAT, texels);
  return texture;
}

/** Texture of a row of colours [r, g, b] of bytes. */
export function rampTexture(gl, colours) {
  const texels = new Uint8Array(colours.flatMap((colour) => [...colour, 255]));
  const texture = emptyTexture(gl, gl.RGBA8, colours.length, 1);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, colours.length, 1, gl.RGBA, gl.UNSIGNED_BYTE, texels);
  return texture;
}

function wordTexels(gl) {
  const { RGBA32UI: format, RGBA_INTEGER: kind, UNSIGNED_INT: type } = gl;
  return { format, kind, type, channels: 4, bytes: 16, numbers: Uint32Array };
}

function pairTexels(gl) {
  const { RG32UI: format, RG_INTEGER: kind, UNSIGNED_INT: type } = gl;
  return { format, kind, type, channels: 2, bytes: 8, numbers: Uint32Array };
}

function floatTexels(gl) {
  const { RGBA32F: format, RGBA: kind, FLOAT: type } = gl;
  return { format, kind, type, channels: 4, bytes: 16, numbers: Float32Array };
}
