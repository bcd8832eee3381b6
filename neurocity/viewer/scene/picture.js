/** The picture that is being drawn: a texture, which is shown on the canvas, scaled, when it is whole. */

import { emptyTexture } from "./textures.js";

/** A texture that is drawn into, with its first row at the bottom. */
export class Picture {
  #gl;
  #texture;
  #frame;

  constructor(gl, format, width, height) {
    this.#gl = gl;
    this.width = width;
    this.height = height;
    this.#texture = emptyTexture(gl, format, width, height);
    this.#frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.#texture, 0);
  }

  /** Draw the rows `first` to `end` (exclusive) with the program that is in use. */
  draw(first = 0, end = this.height) {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    gl.viewport(0, 0, this.width, this.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, first, this.width, end - first);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
  }

  /** Write its pixels into an array of bytes or floats, row by row from the top. */
  read(pixels) {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    const type = pixels instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE;
    gl.readPixels(0, 0, this.width, this.height, gl.RGBA, type, pixels);
  }

  /** Show it on the whole canvas. */
  show() {
    const gl = this.#gl;
    const { drawingBufferWidth: across, drawingBufferHeight: up } = gl;
    const filter = across === this.width && up === this.height ? gl.NEAREST : gl.LINEAR;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.#frame);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, this.width, this.height, 0, up, across, 0, gl.COLOR_BUFFER_BIT, filter);
  }

  delete() {
    this.#gl.deleteFramebuffer(this.#frame);
    this.#gl.deleteTexture(this.#texture);
  }
}
