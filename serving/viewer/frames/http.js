/**
 * Frames by single requests, where no socket can be had. One is under way at a time, and the newest view wins:
 *
 * - While the view changes, small frames are asked for one after the other, sized so that a round trip takes
 *   about MOVING_MS. They are left to arrive (an abort at every mouse event would never show one).
 * - When it has been still for STILL_MS, larger and larger frames follow, up to full resolution. These are
 *   aborted as soon as the view changes. They follow at once where nobody moved: a scene was opened.
 */

import { renderImage } from "../gateway/api.js";
import { decodeFrame } from "./screen.js";

const MOVING_MS = 70;
const MOVING_QUALITY = 80;
const STILL_MS = 150;
const REFINE_FACTOR = 4; // pixels from one still frame to the next, at least
const QUICK_MS = 1000; // what a still frame may take, judged by a smaller one
const FEWEST_PIXELS = 64 * 48;
const FIRST_PIXELS = 160 * 120;
const ENOUGH = 0.9; // share of the largest frame that the time limit allows, which is a guess
const STEADY = [0.8, 1.25]; // the size of moving frames is kept while the time is off by less than this

export class HttpFrames {
  /** show, fail, busy: as the loop's, but `fail` without the time. */
  constructor({ show, fail, busy }) {
    Object.assign(this, { show, fail, busy });
    this.view = null;
    this.fullSize = { width: 1, height: 1 };
    this.timeoutMs = Infinity;
    this.movingPixels = FIRST_PIXELS;
    this.msPerPixel = null;
    this.shownPixels = 0;
    this.settled = false;
    this.changed = false;
    this.moved = false; // by somebody's hand, who may go on
    this.flight = null;
    this.timer = null;
  }

  update(view, fullSize, anew) {
    this.view = view;
    this.fullSize = fullSize;
    this.changed = true;
    this.moved = !anew;
    if (this.flight && (anew || !this.flight.moving)) this.flight.abort.abort();
    if (!this.flight) this.#next();
  }

  /** Ask for nothing more. */
  stop() {
    clearTimeout(this.timer);
    this.changed = false;
    this.settled = true;
    this.flight?.abort.abort();
  }

  #next() {
    clearTimeout(this.timer);
    if (this.changed) {
      this.#send(this.#size(this.movingPixels), true);
    } else if (!this.settled) {
      this.timer = setTimeout(() => this.#send(this.#refined(), false), this.moved ? STILL_MS : 0);
    }
  }

  async #send(size, moving) {
    const { view } = this;
    const flight = { abort: new AbortController(), moving };
    this.flight = flight;
    this.changed = false;
    this.settled = false;
    this.busy(true);
    const started = performance.now();
    let failure = null;
    try {
      const frame = await request(view, size, moving, flight.abort.signal);
      const ms = performance.now() - started;
      if (flight.abort.signal.aborted) return;
      this.shownPixels = size.width * size.height;
      this.#learn(size, ms, moving);
      this.settled = !moving && this.#isEnough(this.shownPixels);
      const settled = this.settled && !this.changed;
      this.show(frame, { ...size, ms, fullMs: settled ? ms : null, settled });
    } catch (error) {
      if (flight.abort.signal.aborted) return;
      if (error.timedOut) this.msPerPixel = (performance.now() - started) / area(size);
      failure = error;
      this.settled = true; // not asked for again until something changes
    } finally {
      this.flight = null;
      this.busy(false);
      if (failure !== null) this.fail(failure);
      else this.#next();
    }
  }

  /** Adapt the size of moving frames and the expected time of a pixel to a measured round trip. */
  #learn(size, ms, moving) {
    const pixels = area(size);
    const share = Math.min(pixels / area(this.fullSize), 1);
    // Larger frames tell more of a pixel and less of the way there and back.
    this.msPerPixel = this.msPerPixel === null ? ms / pixels : mix(this.msPerPixel, ms / pixels, 0.2 + 0.6 * share);
    if (moving) {
      const ratio = MOVING_MS / ms;
      if (ratio < STEADY[0] || ratio > STEADY[1]) this.movingPixels = pixels * clamp(ratio, 0.4, 2.5);
    }
    this.movingPixels = clamp(this.movingPixels, FEWEST_PIXELS, area(this.fullSize));
  }

  /** The largest frame that fits the canvas and, as far as is known, the server's time limit. */
  #largest() {
    const affordable = this.msPerPixel ? (0.5 * this.timeoutMs) / this.msPerPixel : Infinity;
    return this.#size(Math.min(area(this.fullSize), affordable));
  }

  /** All pixels of the canvas; where these are too many, nearly as many as are not. */
  #isEnough(pixels) {
    const largest = area(this.#largest());
    return pixels >= (largest < area(this.fullSize) ? ENOUGH : 1) * largest;
  }

  #refined() {
    const quick = this.msPerPixel ? QUICK_MS / this.msPerPixel : Infinity;
    return this.#size(Math.min(area(this.#largest()), Math.max(quick, REFINE_FACTOR * this.shownPixels)));
  }

  /** About that many pixels in the shape of the canvas, never more than it has. */
  #size(pixels) {
    const { width, height } = this.fullSize;
    const factor = Math.min(Math.sqrt(pixels / (width * height)), 1);
    return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
  }
}

/** A promise of a frame of that size. view: { scene, output, eye, target, fov } with the vertical fov in degrees. */
async function request({ scene, output, eye, target, fov }, { width, height }, moving, signal) {
  const camera = { look_at: { eye, target }, fov_y_degrees: fov };
  const lossy = moving && output !== "depth";
  const encoding = lossy ? { format: "jpeg", quality: MOVING_QUALITY } : { format: "png" };
  const response = await renderImage(scene, { camera, width, height, output, ...encoding }, signal);
  const frame = await decodeFrame(await response.blob(), output);
  return { ...frame, tile: [0, 0, width, height] };
}

function area({ width, height }) {
  return width * height;
}

function mix(a, b, share) {
  return a + (b - a) * share;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(low, high));
}
