/** A scene that is drawn in a canvas: loaded group after group, coarse to fine, and drawn as far as it is there. */

import { openDecoder } from "./decode.js";
import { decoderDescription, readModel } from "./header.js";
import { Painter } from "./painter.js";
import { CONTEXT, whatIsMissing } from "./support.js";

const AGAIN_MS = 500; // after which a group that was lost is asked for once more
const DEFAULTS = { output: "rgb", near: 0, far: 1, footprint: 0, background: [0, 0, 0] };

/** Made by `openScene`. */
export class WebScene {
  #canvas;
  #gl;
  #header;
  #model;
  #source;
  #options;
  #packed = new Map(); // { bytes, isLost } of groups, from which a lost context is filled again
  #painter = null;
  #deepest = -1; // the deepest level of which all cells are there
  #filling = 0; // counts fillings: an older one that goes on must not write into a newer painter
  #listeners;

  /** Called when the browser has taken the graphics processor away, and when the scene can be drawn again. */
  onLost = null;
  onRestored = null;
  /** Called with the error when it cannot be built again. */
  onFailed = null;
  /** A promise that is kept when all groups are there; a lost context breaks it, and makes another one. */
  loaded = null;

  /** Null, or a sentence about what this browser lacks. */
  static supported() {
    return whatIsMissing();
  }

  constructor(canvas, header, source, options) {
    this.#canvas = canvas;
    this.#header = header;
    this.#model = readModel(header);
    this.#source = source;
    this.#options = options;
    this.#gl = canvas.getContext("webgl2", CONTEXT);
    if (!this.#gl) throw new Error(whatIsMissing() ?? "this canvas is in use for something else than WebGL2");
    this.#listeners = {
      webglcontextlost: (event) => this.#lose(event),
      webglcontextrestored: () => this.#restore(),
    };
    for (const [name, listener] of Object.entries(this.#listeners)) canvas.addEventListener(name, listener);
  }

  /** The deepest level that can be drawn; it grows until it is that of the finest cells. */
  get level() {
    return this.#deepest;
  }

  /** Bytes of memory of the graphics processor that the scene's textures take. */
  get graphicsBytes() {
    return this.#painter?.bytes ?? 0;
  }

  /** A promise of nothing, kept when the first group can be drawn. */
  async open() {
    const turn = ++this.#filling;
    if (this.#gl.isContextLost()) throw new Error("the graphics processor was taken away, and is not back yet");
    const painter = new Painter(this.#gl, this.#header, this.#model, this.#options.mostLoops);
    this.#painter?.delete();
    this.#painter = painter;
    this.#deepest = -1;
    for (const [number, { isLost }] of this.#packed) if (isLost) this.#packed.delete(number);
    this.#group(0);
    const decoder = await openDecoder(decoderDescription(this.#header, this.#model));
    const first = painter.ready().then(() => this.#add(decoder, painter, 0, turn));
    this.loaded = first.then(() => this.#addOthers(decoder, painter, turn)).finally(() => decoder.close());
    this.loaded.catch(() => {}); // who waits for it gets the error
    await first;
  }

  /**
   * Draw rows of a picture; with the last one, show it on the whole canvas, which may have another size.
   *
   * view: { cameraToWorld: 16 numbers row by row, OpenGL axes, in the scene's coordinates, fl_x, fl_y, cx, cy }.
   * rows: from the first to an end, which it does not contain, counted from the top; all if null.
   * output: "rgb", "opacity", or "depth" in colours from `near` to `far`. deepest: level at which cells are drawn
   * whatever is in them, null for all there are. footprint: so are cells below so many pixels; 0 for none.
   * background: colour behind what lets light through.
   *
   * False where nothing can be drawn now.
   */
  draw(view, options) {
    if (!this.#canDraw()) return false;
    const { rows, height, deepest } = options;
    this.#painter.draw(view, { ...DEFAULTS, ...options, rows: rows ?? [0, height], deepest: this.#level(deepest) });
    return true;
  }

  /** A promise of the milliseconds that the last `draw` takes; null where nothing was drawn. */
  finished() {
    return this.#painter?.timer.finished ?? Promise.resolve(null);
  }

  /** Depths [height * width] of a picture, row by row from the top: distances along rays, 0 where nothing is. */
  readDepths(view, { width, height, deepest, footprint = 0 }) {
    if (!this.#canDraw()) return new Float32Array(width * height);
    return this.#painter.depths(view, { width, height, deepest: this.#level(deepest), footprint });
  }

  /**
   * Floats [height * width * 4] of a picture, row by row from the top, for proofs: light without background and
   * opacity; of the output "depth" depth, loops of the walk, fetches of nodes, opacity.
   *
   * Throws an Error where the browser does not draw into floats, or a ray was cut off.
   */
  readFloats(view, { width, height, output = "rgb", deepest, footprint = 0 }) {
    this.#requireDrawing();
    const pixels = this.#painter.floats(view, { width, height, output, deepest: this.#level(deepest), footprint });
    let cutOff = 0;
    for (let index = 3; index < pixels.length; index += 4) cutOff += pixels[index] < 0;
    if (cutOff > 0) throw new Error(`${cutOff} of ${width * height} rays have more pieces than the shader takes`);
    return pixels;
  }

  /** The picture that `draw` shows, before it is bytes: floats [height * width * 4] in the same order. */
  readShown(view, { width, height, deepest, footprint = 0, background = [0, 0, 0] }) {
    this.#requireDrawing();
    return this.#painter.shownFloats(view, { width, height, deepest: this.#level(deepest), footprint, background });
  }

  /** Distance along the ray at (x, y) in pixels of the view to what stops half of its light; null for nothing. */
  depthAt(view, x, y) {
    if (!this.#canDraw()) return null;
    const shifted = { ...view, cx: view.cx - x + 0.5, cy: view.cy - y + 0.5 };
    const options = { width: 1, height: 1, isSolid: true, deepest: this.#level(null), footprint: 0 };
    const [depth] = this.#painter.depths(shifted, options);
    return depth > 0 ? depth : null;
  }

  /** Free what the scene has on the graphics processor, and load nothing more. */
  close() {
    this.#filling++;
    for (const [name, listener] of Object.entries(this.#listeners)) this.#canvas.removeEventListener(name, listener);
    this.#painter?.delete();
    this.#painter = null;
    this.#packed.clear();
  }

  #canDraw() {
    return this.#painter !== null && this.#deepest >= 0 && !this.#gl.isContextLost();
  }

  #requireDrawing() {
    if (!this.#canDraw()) throw new Error("the scene cannot be drawn now: its context is lost or nothing is loaded");
  }

  #level(deepest) {
    return Math.max(1, Math.min(deepest ?? Infinity, this.#deepest));
  }

  async #addOthers(decoder, painter, turn) {
    for (let number = 1; number < this.#header.groups.length; number++) {
      await this.#add(decoder, painter, number, turn);
    }
  }

  async #add(decoder, painter, number, turn) {
    this.#checkTurn(turn);
    const { groups } = this.#header;
    const bytes = await this.#group(number);
    // The next one is on its way while this one is decoded.
    if (number + 1 < groups.length) this.#group(number + 1);
    const blocks = await decoder.decode(bytes, groups[number].blocks).catch((error) => {
      throw new Error(`${groups[number].file} ${error.message}`);
    });
    this.#checkTurn(turn);
    for (const block of blocks) painter.add(block);
    this.#deepest = this.#model.levelsAfter[number];
    this.#tell(number + 1);
  }

  /** Throws an AbortError where nobody waits for this filling any more. */
  #checkTurn(turn) {
    this.#options.signal?.throwIfAborted();
    if (turn !== this.#filling) throw new DOMException("the scene was closed, or its context lost", "AbortError");
  }

  /** A promise of the gzip bytes of a group, which are asked for once in a filling, and once more where they are lost. */
  #group(number) {
    if (!this.#packed.has(number)) {
      const group = { bytes: this.#ask(number), isLost: false };
      group.bytes.catch(() => (group.isLost = true)); // who waits for it gets the error
      this.#packed.set(number, group);
    }
    return this.#packed.get(number).bytes;
  }

  async #ask(number) {
    try {
      return await this.#source(number);
    } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (this.#painter === null || this.#options.signal?.aborted) throw error; // nobody waits for it
      return this.#source(number);
    }
  }

  #tell(count) {
    const size = (groups) => groups.reduce((sum, { bytes }) => sum + bytes, 0);
    const { groups } = this.#header;
    this.#options.onProgress?.({
      loadedBytes: size(groups.slice(0, count)),
      totalBytes: size(groups),
      level: this.#deepest,
      complete: count === groups.length,
    });
  }

  #lose(event) {
    event.preventDefault(); // else the browser does not give it back
    this.#filling++;
    this.#deepest = -1;
    this.onLost?.();
  }

  async #restore() {
    this.#painter = null; // it died with the context
    try {
      await this.open();
    } catch (error) {
      if (error.name === "AbortError") return; // the scene was closed, or the context lost once more
      return this.onFailed?.(error);
    }
    this.onRestored?.();
  }
}

/**
 * A promise of a `WebScene` whose first group can be drawn; it goes on loading by itself.
 *
 * header, source: see groups.js. onProgress({ loadedBytes, totalBytes, level, complete }) is called for each group.
 * signal: an AbortSignal that ends the loading. mostLoops: of the walk of a ray.
 */
export async function openScene(canvas, header, source, { onProgress, signal, mostLoops } = {}) {
  const scene = new WebScene(canvas, header, source, { onProgress, signal, mostLoops });
  try {
    await scene.open();
  } catch (error) {
    scene.close();
    throw error;
  }
  return scene;
}
