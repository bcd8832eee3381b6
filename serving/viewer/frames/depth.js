/** Depth images of the gateway: files to distances, and tiles of a picture put together. */

import { parseGrayPng } from "./png.js";

/** A promise of { width, height, values } of a depth image: distances in scene units, 0 where nothing is. */
export async function parseDepth(buffer) {
  const { width, height, counts, text } = await parseGrayPng(buffer);
  const scale = Number(text["X-Depth-Scale"]);
  if (!(scale > 0)) throw new Error("the depth image does not say its scale");
  return { width, height, values: Float32Array.from(counts, (count) => count * scale) };
}

/**
 * What is known of a picture of that size when a tile [x, y, width, height] of it comes: before the first tile,
 * the smaller picture that was there.
 */
export function putDepth(before, part, [x, y], { width, height }) {
  if (part.width === width && part.height === height) return part;
  const fits = before?.width === width && before?.height === height;
  const values = fits ? before.values : enlarged(before, width, height);
  for (let row = 0; row < part.height; row++) {
    const line = part.values.subarray(row * part.width, (row + 1) * part.width);
    values.set(line, (y + row) * width + x);
  }
  return { width, height, values };
}

function enlarged(before, width, height) {
  const values = new Float32Array(width * height);
  if (before === null) return values;
  for (let row = 0; row < height; row++) {
    const source = Math.floor((row * before.height) / height) * before.width;
    for (let column = 0; column < width; column++) {
      values[row * width + column] = before.values[source + Math.floor((column * before.width) / width)];
    }
  }
  return values;
}
