/** Frames: image files to pixels on the canvas, as whole pictures or as tiles of one. */

import { colourDepth } from "../look/depth_colours.js";
import { parseDepth, putDepth } from "./depth.js";

/** A promise of what can be drawn: { image } or, of the output `depth`, { depth }. */
export async function decodeFrame(blob, output) {
  if (output === "depth") return { image: null, depth: await parseDepth(await blob.arrayBuffer()) };
  return { image: await createImageBitmap(blob), depth: null };
}

export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.depth = null; // of what is shown: { width, height, values, near, far }
  }

  /** Draw a frame; tile: its [x, y, width, height] in a picture of `width` x `height`. */
  draw({ image, depth, tile }, { width, height }) {
    const { canvas } = this;
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "high";
    if (depth) return this.#drawDepth(context, depth, tile, { width, height });
    this.depth = null;
    const [x, y, w, h] = tile;
    const [across, down] = [canvas.width / width, canvas.height / height];
    context.drawImage(image, x * across, y * down, w * across, h * down);
    image.close();
  }

  /** Depth has its colours from the nearest to the farthest of the whole picture: a tile changes them all. */
  #drawDepth(context, depth, tile, size) {
    const values = putDepth(this.depth, depth, tile, size);
    const { pixels, near, far } = colourDepth(values);
    this.depth = { ...values, near, far };
    const picture = new OffscreenCanvas(values.width, values.height);
    picture.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
  }
}
