/** Programs of shaders: compiled without holding up the page, where the browser can. */

import { WHOLE_PICTURE } from "./shared.glsl.js";

const POLL_MS = 10;

/** A program that draws whole pictures with a fragment shader. */
export class PictureProgram {
  #gl;
  #program;
  #shaders;
  #places = new Map();
  #isChecked = false;
  #isDeleted = false;

  /** Begins to compile. */
  constructor(gl, fragmentText) {
    this.#gl = gl;
    this.#program = gl.createProgram();
    const texts = [[gl.VERTEX_SHADER, WHOLE_PICTURE], [gl.FRAGMENT_SHADER, fragmentText]];
    this.#shaders = texts.map(([kind, text]) => {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.#program, shader);
      return shader;
    });
    gl.linkProgram(this.#program);
  }

  /** A promise that is kept when the program can be used, or never will. */
  async ready() {
    const gl = this.#gl;
    const extension = gl.getExtension("KHR_parallel_shader_compile");
    const isDone = () => this.#isGone || gl.getProgramParameter(this.#program, extension.COMPLETION_STATUS_KHR);
    while (extension && !isDone()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    this.#check();
  }

  /** Use the program; values: of its uniforms by name, textures: by the name of their samplers. */
  use(values, textures) {
    const gl = this.#gl;
    this.#check();
    gl.useProgram(this.#program);
    Object.entries(textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(this.#place(name), unit);
    });
    for (const [name, value] of Object.entries(values)) setUniform(gl, this.#place(name), value);
  }

  delete() {
    this.#isDeleted = true;
    this.#gl.deleteProgram(this.#program);
    for (const shader of this.#shaders) this.#gl.deleteShader(shader);
  }

  get #isGone() {
    return this.#isDeleted || this.#gl.isContextLost();
  }

  #place(name) {
    if (!this.#places.has(name)) this.#places.set(name, this.#gl.getUniformLocation(this.#program, name));
    return this.#places.get(name);
  }

  #check() {
    const gl = this.#gl;
    if (this.#isChecked || this.#isGone) return;
    if (!gl.getProgramParameter(this.#program, gl.LINK_STATUS)) {
      const logs = [...this.#shaders.map((shader) => gl.getShaderInfoLog(shader)), gl.getProgramInfoLog(this.#program)];
      throw new Error(`this browser cannot compile the scene's shader: ${logs.join(" ")}`);
    }
    this.#isChecked = true;
  }
}

/** Numbers are floats, arrays vectors; { int }, { matrix } of nine numbers by columns, { vectors } of three each. */
function setUniform(gl, place, value) {
  if (typeof value === "number") gl.uniform1f(place, value);
  else if (value.int !== undefined) gl.uniform1i(place, value.int);
  else if (value.matrix) gl.uniformMatrix3fv(place, false, value.matrix);
  else if (value.vectors) gl.uniform3fv(place, value.vectors);
  else gl[`uniform${value.length}fv`](place, value);
}
