/** The colours of all cells as one eye sees them. */

import { coloursShader } from "./colours.glsl.js";
import { PictureProgram } from "./programs.js";
import { ROW } from "./shared.glsl.js";
import { emptyTexture } from "./textures.js";

/** A texture with a texel of half floats for each cell, drawn anew when the eye moves or cells arrive. */
export class SeenColours {
  #gl;
  #program;
  #frame;
  #seenFrom = null; // what the colours are of: an eye, and how many cells

  constructor(gl, model) {
    this.#gl = gl;
    this.#program = new PictureProgram(gl, coloursShader(model));
    this.rows = Math.ceil(model.cells / ROW);
    this.texture = emptyTexture(gl, gl.RG32UI, ROW, this.rows);
    this.#frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
  }

  get bytes() {
    return 8 * ROW * this.rows;
  }

  ready() {
    return this.#program.ready();
  }

  /** Have the colours of the first `cells` cells; uniforms: of the scene, with the eye. */
  update(cells, uniforms, textures) {
    const gl = this.#gl;
    const wanted = [cells, ...uniforms.eye].join();
    if (this.#seenFrom === wanted) return;
    this.#seenFrom = wanted;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    this.#program.use(uniforms, { colours: textures.colours, places: textures.places });
    gl.viewport(0, 0, ROW, Math.ceil(cells / ROW));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  delete() {
    this.#gl.deleteTexture(this.texture);
    this.#gl.deleteFramebuffer(this.#frame);
    this.#program.delete();
  }
}
