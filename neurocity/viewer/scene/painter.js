/** What draws a scene on one WebGL2 context; everything here is gone when the context is lost. */

import { NOTHING, ramp } from "../look/depth_colours.js";
import { SeenColours } from "./colours.js";
import { sceneUniforms, unitPoint } from "./header.js";
import { Picture } from "./picture.js";
import { PictureProgram } from "./programs.js";
import { CellTextures, rampTexture, skyTexture } from "./textures.js";
import { DrawTimer } from "./timing.js";
import { walkShader } from "./walk.glsl.js";

const SHOWN = { rgb: 0, opacity: 1, depth: 2 };
const DEPTH_FLOATS = 3;
const SOLID_DEPTH = 4;

export class Painter {
  #gl;
  #header;
  #model;
  #mostLoops;
  #cells;
  #colours;
  #walk;
  #proof = null;
  #sky = null;
  #ramp;
  #uniforms;
  #picture = null; // what is on its way to the canvas
  #loadedCells = 0;

  /** Begins to compile; throws an Error where the scene does not fit. mostLoops: see `walkShader`. */
  constructor(gl, header, model, mostLoops) {
    this.#gl = gl;
    this.#header = header;
    this.#model = model;
    this.#mostLoops = mostLoops;
    gl.disable(gl.DITHER);
    this.#cells = new CellTextures(gl, model);
    this.#colours = new SeenColours(gl, model);
    if (gl.getError() === gl.OUT_OF_MEMORY) {
      this.#cells.delete();
      this.#colours.delete();
      throw new Error("this graphics processor has no room for the colours of the scene's cells");
    }
    this.#walk = new PictureProgram(gl, walkShader(model, { mostLoops }));
    if (model.hasSky) this.#sky = skyTexture(gl, header.sky);
    this.#ramp = rampTexture(gl, ramp(256));
    this.#uniforms = sceneUniforms(header, model);
    this.timer = new DrawTimer(gl);
  }

  async ready() {
    await Promise.all([this.#colours.ready(), this.#walk.ready()]);
  }

  /** Bytes of the scene's textures. */
  get bytes() {
    return this.#cells.bytes + this.#colours.bytes;
  }

  /** Take what `GroupDecoder` gave of a block. */
  add({ firstParent, firstCell, nodes, corners, colours, places }) {
    if (nodes.length) this.#cells.write("nodes", firstParent, nodes);
    this.#cells.write("corners", firstCell, corners);
    this.#cells.write("colours", firstCell, colours);
    this.#cells.write("places", firstCell, places);
    this.#loadedCells = firstCell + places.length / 2;
  }

  /** Draw rows of a picture, and show it on the canvas with its last one; see `WebScene.draw`. */
  draw(view, { width, height, rows: [first, end], output, near, far, background, ...cut }) {
    this.timer.measure(() => {
      if (output === "rgb") this.#updateColours(view);
      if (this.#picture?.width !== width || this.#picture.height !== height) {
        this.#picture?.delete();
        this.#picture = new Picture(this.#gl, this.#gl.RGBA8, width, height);
      }
      this.#useWalk(view, cut, { shown: { int: SHOWN[output] }, background, depth_range: [near, far] });
      this.#picture.draw(first, end);
      if (end === height) this.#picture.show();
    });
  }

  /** Depths [height * width], row by row from the top; isSolid: of what stops half of the light alone. */
  depths(view, { width, height, isSolid = false, ...cut }) {
    this.#useWalk(view, cut, { shown: { int: isSolid ? SOLID_DEPTH : DEPTH_FLOATS } });
    const bytes = new Uint8Array(4 * width * height);
    this.#drawAndRead(this.#gl.RGBA8, width, height, bytes);
    return new Float32Array(bytes.buffer);
  }

  /** Floats of the shader that computes each colour; see `PROVED` in walk.glsl.js. */
  floats(view, { width, height, output, ...cut }) {
    this.#proof ??= new PictureProgram(this.#gl, walkShader(this.#model, { mostLoops: this.#mostLoops, isProof: true }));
    const shown = { int: output === "depth" ? DEPTH_FLOATS : SHOWN.rgb };
    this.#use(this.#proof, view, cut, { shown }, { colours: this.#cells.all.colours });
    return this.#drawAndReadFloats(width, height);
  }

  /** What `draw` shows, as floats. */
  shownFloats(view, { width, height, background, ...cut }) {
    this.#updateColours(view);
    this.#useWalk(view, cut, { shown: { int: SHOWN.rgb }, background });
    return this.#drawAndReadFloats(width, height);
  }

  delete() {
    for (const part of [this.#cells, this.#colours, this.#walk, this.#proof, this.#picture]) part?.delete();
    for (const texture of [this.#sky, this.#ramp]) this.#gl.deleteTexture(texture);
  }

  #drawAndReadFloats(width, height) {
    if (!this.#gl.getExtension("EXT_color_buffer_float")) {
      throw new Error("EXT_color_buffer_float is missing: this browser cannot draw floats, so nothing can be proved");
    }
    const floats = new Float32Array(4 * width * height);
    this.#drawAndRead(this.#gl.RGBA32F, width, height, floats);
    return floats;
  }

  /** Read a picture of its own, drawn with the program that is in use. */
  #drawAndRead(format, width, height, pixels) {
    const picture = new Picture(this.#gl, format, width, height);
    picture.draw();
    picture.read(pixels);
    picture.delete();
  }

  #updateColours(view) {
    this.#colours.update(this.#loadedCells, { ...this.#uniforms, eye: this.#eye(view) }, this.#cells.all);
  }

  #useWalk(view, cut, values) {
    const always = { depth_range: [0, 0], background: [0, 0, 0], no_depth: NOTHING.map((value) => value / 255) };
    const textures = { seen_colours: this.#colours.texture, depth_ramp: this.#ramp };
    this.#use(this.#walk, view, cut, { ...always, ...values }, textures);
  }

  #use(program, view, { deepest, footprint }, values, shading) {
    const { cameraToWorld: pose, fl_x, fl_y, cx, cy } = view;
    const { nodes, corners } = this.#cells.all;
    const uniforms = {
      ...this.#uniforms,
      eye: this.#eye(view),
      axes: { matrix: [0, 1, 2].flatMap((column) => [0, 1, 2].map((row) => pose[4 * row + column])) },
      lens: [fl_x, fl_y, cx, cy],
      deepest: { int: deepest },
      // Of so many pixels at unit distance, in the cube's units.
      footprint: footprint / Math.min(fl_x, fl_y) / this.#header.settings.root_side,
      ...values,
    };
    program.use(uniforms, { nodes, corners, ...shading, ...(this.#sky && { sky: this.#sky }) });
  }

  #eye({ cameraToWorld: pose }) {
    return unitPoint(this.#header, [pose[3], pose[7], pose[11]]);
  }
}
