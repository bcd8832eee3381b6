/**
 * Pictures of a scene that this device draws. One is under way at a time, and the newest view wins:
 *
 * - While the view changes, the resolution follows the measured time of a pixel, so that a frame takes about
 *   MOVING_MS; voxels smaller than a pixel are not looked into.
 * - When it has been still for STILL_MS, the picture at full resolution follows, to the last voxel. It is drawn in
 *   bands of about BAND_MS, so that a movement interrupts it, and no browser takes the device for stuck.
 */

import { poseOf } from "../camera/camera.js";
import { depthRange } from "../look/depth_colours.js";

const MOVING_MS = 33;
const STILL_MS = 150;
const BAND_MS = 80;
const QUICK_MS = 400; // what a still picture may take before a coarser one comes first
const SHARES = [1, 1 / 2, 1 / 4]; // of the sides of the canvas
const STEADY = 0.7; // the resolution is kept while a frame takes from this share of MOVING_MS to its inverse
const AGAIN_MS = 5000; // after which a resolution is tried again that was too slow
const FIRST_MS_PER_PIXEL = 1e-3; // before anything is measured: a slow device
const FEWEST_ROWS = 8;
const LEARNT = 0.4; // how much a piece counts in the time of a pixel, at least
const RANGE_PIXELS = 96; // of the longer side of the picture that the range of depth is measured on

export class SceneFrames {
  /**
   * canvas: the one that scene, a WebScene, draws on; it gets the size that is asked for with the first picture
   *   of it, and keeps what it shows until then. info: of the scene in world coordinates.
   * show(facts): called when a picture is seen, with { width, height, ms, settled, range }; range is { near, far }
   *   of depth, else null; settled says that no better picture of this view will follow.
   * fail(error): called when drawing fails.
   */
  constructor(canvas, scene, info, { show, fail }) {
    Object.assign(this, { canvas, scene, info, show, fail });
    this.size = { width: canvas.width, height: canvas.height }; // of pictures at full resolution
    this.wanted = null; // { eye, target, fov, output }, fov vertical and in degrees
    this.changes = 0; // counts what makes a picture old
    this.drawn = -1; // the count of the picture that is settled
    this.movedAt = -Infinity;
    this.msPerPixel = null;
    this.share = SHARES.at(-1);
    this.triesAfter = 0; // when a larger share may be tried
    this.seen = null; // { wanted, changes, range, share } of what is seen
    this.order = null; // of a picture, { promise, resolve, reject }
    this.running = false;
    this.stopped = false;
  }

  /** The view has changed, by somebody's hand or not. */
  update(wanted, { moved = true } = {}) {
    this.wanted = wanted;
    this.changes++;
    if (moved) this.movedAt = performance.now();
    this.#start();
  }

  /** Have full pictures of that size. */
  resize({ width, height }) {
    if (width === this.size.width && height === this.size.height) return;
    this.size = { width, height };
    this.refresh();
  }

  /** More is known of the scene: the same view is drawn anew. */
  refresh() {
    this.changes++;
    if (this.wanted && !this.stopped) this.#start();
  }

  /** Draw nothing more, until the next `update`. */
  stop() {
    this.stopped = true;
  }

  /** Distance along the ray to what is seen there, in shares of the canvas's sides; null where nothing is. */
  depthAt(across, down) {
    if (this.seen === null) return null;
    const { width, height } = this.size;
    const depth = this.scene.depthAt(this.#camera(this.seen.wanted, width, height), across * width, down * height);
    return depth > 0 ? depth : null;
  }

  /** The world coordinates of what is seen there; null where nothing is. */
  placeAt(across, down) {
    const depth = this.depthAt(across, down);
    if (depth === null) return null;
    const { width, height } = this.size;
    const { cameraToWorld: pose, fl_x, fl_y, cx, cy } = this.#camera(this.seen.wanted, width, height);
    const ray = [(across * width - cx) / fl_x, -(down * height - cy) / fl_y, -1];
    const long = Math.hypot(...ray);
    return [0, 1, 2].map((axis) => {
      const along = ray.reduce((sum, value, i) => sum + pose[4 * axis + i] * value, 0) / long;
      return this.seen.wanted.eye[axis] + depth * along;
    });
  }

  /** Nothing can be drawn any more, by that error: no picture that was ordered will come. */
  giveUp(error) {
    this.stopped = true;
    this.order?.reject(error);
    this.order = null;
  }

  /**
   * A promise of the present view as a PNG file, with as many pixels as the canvas. While the context is lost it
   * waits for the next `update`.
   */
  picture() {
    if (this.order === null) {
      this.order = {};
      this.order.promise = new Promise((resolve, reject) => Object.assign(this.order, { resolve, reject }));
    }
    const { promise } = this.order;
    this.#start();
    return promise;
  }

  #start() {
    this.stopped = false;
    if (this.running) return;
    this.running = true;
    this.#run();
  }

  async #run() {
    try {
      await this.#drawAll();
    } catch (error) {
      this.giveUp(error);
      this.fail(error);
    }
    this.running = false;
  }

  async #drawAll() {
    while (!this.stopped && (this.drawn !== this.changes || this.order !== null)) {
      await animationFrame();
      const still = performance.now() - this.movedAt;
      if (this.stopped || this.scene.level < 0) return; // lost: `update` follows when it is restored
      if (this.seen?.changes !== this.changes) await this.#drawQuickly();
      else if (still < STILL_MS) await pause(STILL_MS - still);
      else if (this.drawn !== this.changes) await this.#drawFully();
      else await this.#takePicture();
    }
  }

  /** A frame that is there at once. */
  async #drawQuickly() {
    const { changes } = this;
    const size = this.#size(this.share);
    const ms = await this.#drawAndTell({ ...size, footprint: 1 }, changes, false);
    if (ms !== null) this.#adapt(ms);
  }

  /** The full picture, and a coarser one before it where that takes long. */
  async #drawFully() {
    const { changes } = this;
    const between = SHARES.filter((share) => share < 1 && share > this.seen.share).at(0);
    if (between && this.#expected(this.size.width * this.size.height) > QUICK_MS) {
      await this.#drawAndTell({ ...this.#size(between), footprint: 1 }, changes, false);
      if (this.changes !== changes || this.stopped) return;
    }
    await this.#drawAndTell({ ...this.#size(1), footprint: 0 }, changes, true);
  }

  /** The settled picture once more, since a canvas keeps what was drawn only as long as the task lasts. */
  async #takePicture() {
    const { order, wanted } = this;
    this.order = null; // another one is of the view that is then
    let file = null; // a promise
    const taken = () => (file = new Promise((resolve) => this.canvas.toBlob(resolve)));
    try {
      const options = { ...this.#size(1), footprint: 0, ...this.seen.range };
      if ((await this.#draw(wanted, options, () => true, taken)) === null) return this.#orderAgain(order);
      const blob = await file;
      if (blob === null) throw new Error("the browser gave none");
      order.resolve(blob);
    } catch (error) {
      order.reject(error);
    }
  }

  /** The context was lost meanwhile. */
  #orderAgain(order) {
    if (this.order === null) this.order = order;
    else this.order.promise.then(order.resolve, order.reject);
  }

  /** Draw and say so; a promise of the milliseconds that it took, null where it was given up. */
  async #drawAndTell(options, changes, settles) {
    const { wanted } = this;
    const range = wanted.output === "depth" ? await this.#range(wanted) : null;
    const goesOn = () => !this.stopped && (!settles || this.changes === changes);
    const ms = await this.#draw(wanted, { ...options, ...range }, goesOn);
    if (ms === null || this.stopped) return null;
    const { width, height } = options;
    this.seen = { wanted, changes, range, share: width / this.size.width };
    const settled = settles && this.changes === changes;
    if (settled) this.drawn = changes;
    this.show({ width, height, ms, settled, range });
    return ms;
  }

  /**
   * Draw in bands while `goesOn()`; a promise of the milliseconds that it took, null where it was given up.
   * shown() is called in the task that shows the picture.
   */
  async #draw(wanted, options, goesOn, shown = () => {}) {
    const { width, height } = options;
    const camera = this.#camera(wanted, width, height);
    const background = this.info.background ?? [0, 0, 0];
    let total = 0;
    for (let row = 0; row < height; ) {
      if (row > 0 && !goesOn()) return null;
      const end = Math.min(height, row + this.#bandRows(width));
      if (end === height) this.#fitCanvas();
      const isDrawn = this.scene.draw(camera, { ...options, output: wanted.output, background, rows: [row, end] });
      if (!isDrawn) return null; // the context is lost
      if (end === height) shown();
      const ms = await this.scene.finished();
      if (ms === null) return null; // the context is lost
      this.#learn(ms, (end - row) * width);
      total += ms;
      row = end;
    }
    return total;
  }

  /** Setting the size clears a canvas, even where it is the same. */
  #fitCanvas() {
    const { canvas, size } = this;
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  }

  #bandRows(width) {
    const perPixel = this.msPerPixel ?? FIRST_MS_PER_PIXEL;
    return Math.max(FEWEST_ROWS, Math.floor(BAND_MS / (perPixel * width)));
  }

  /** Larger pieces tell more of a pixel, and less of the way there and back. */
  #learn(ms, pixels) {
    const share = LEARNT * Math.min(1, (2 * pixels) / (this.size.width * this.size.height)) + LEARNT;
    const known = this.msPerPixel ?? ms / pixels;
    this.msPerPixel = known + share * (ms / pixels - known);
  }

  /** What that many pixels take, in ms. */
  #expected(pixels) {
    return (this.msPerPixel ?? FIRST_MS_PER_PIXEL) * pixels;
  }

  /**
   * The resolution of the next frame, by the time of this one. A larger one is tried where this one has time
   * left, and not again for a while where it was too slow: short times are mostly the way to the GPU and back.
   */
  #adapt(ms) {
    const place = SHARES.indexOf(this.share);
    const now = performance.now();
    if (ms > MOVING_MS / STEADY && place + 1 < SHARES.length) {
      this.share = SHARES[place + 1];
      this.triesAfter = now + AGAIN_MS;
    } else if (ms < MOVING_MS * STEADY && place > 0 && now > this.triesAfter) {
      this.share = SHARES[place - 1];
    }
  }

  #size(share) {
    const { width, height } = this.size;
    return { width: Math.max(1, Math.round(width * share)), height: Math.max(1, Math.round(height * share)) };
  }

  async #range(wanted) {
    const { width, height } = this.size;
    const share = Math.min(1, RANGE_PIXELS / Math.max(width, height));
    const size = this.#size(share);
    return depthRange(await this.scene.readDepths(this.#camera(wanted, size.width, size.height), size));
  }

  /** A camera for that many pixels, in the coordinates of the scene. */
  #camera({ eye, target, fov }, width, height) {
    const inScene = (place) => place.map((value, axis) => value - this.info.origin[axis]);
    const focal = this.size.height / (2 * Math.tan((fov * Math.PI) / 360));
    return {
      cameraToWorld: poseOf(inScene(eye), inScene(target), this.info.up),
      fl_x: (focal * width) / this.size.width,
      fl_y: (focal * height) / this.size.height,
      cx: width / 2,
      cy: height / 2,
    };
  }
}

function animationFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
