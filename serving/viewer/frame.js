/** One frame: asked for as the canvas can show it, decoded, drawn. */

import { renderImage } from "./api.js";
import { colourDepth, parseNpy } from "./depth.js";

const MOVING_QUALITY = 80;

/**
 * A promise of { image, depth }: something that a canvas can draw and, for the output `depth`, its values.
 * view: { scene, output, eye, target, fov } with the vertical fov in degrees.
 */
export async function fetchFrame({ scene, output, eye, target, fov }, { width, height }, moving, signal) {
  const body = { camera: { look_at: { eye, target }, fov_y_degrees: fov }, width, height, output };
  if (output === "depth") {
    const response = await renderImage(scene, { ...body, format: "npy" }, signal);
    const depth = parseNpy(await response.arrayBuffer());
    const { pixels, near, far } = colourDepth(depth);
    return { image: await createImageBitmap(pixels), depth: { ...depth, near, far } };
  }
  const encoding = moving ? { format: "jpeg", quality: MOVING_QUALITY } : { format: "png" };
  const response = await renderImage(scene, { ...body, ...encoding }, signal);
  return { image: await createImageBitmap(await response.blob()), depth: null };
}

/** Fill the canvas with the frame. */
export function drawFrame(canvas, { image }) {
  const context = canvas.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
}
