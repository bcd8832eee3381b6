/** The legend of the depth view: its colours, the range that they span, and the depth under the pointer. */

import { ramp } from "./depth_colours.js";
import { element } from "./elements.js";

const RAMP_COLOURS = 256;

/** Paint the colours, once. */
export function paintLegend() {
  const context = element("legend-ramp").getContext("2d");
  ramp(RAMP_COLOURS).forEach(([red, green, blue], column) => {
    context.fillStyle = `rgb(${red} ${green} ${blue})`;
    context.fillRect(column, 0, 1, 1);
  });
}

/** Show which depths the colours are of: the nearest and the farthest. */
export function showDepthRange({ near, far }) {
  element("legend-near").textContent = depthText(near);
  element("legend-far").textContent = depthText(far);
}

/** Show the depth under the pointer; null or 0 where nothing is. */
export function showDepth(value) {
  element("legend-value").textContent = value > 0 ? depthText(value) : "–";
}

function depthText(value) {
  return value.toPrecision(3);
}
