/** Distances to colours. */

// Every 15th of the 256 colours of viridis, from dark to bright; near is bright.
const RAMP = [
  [68, 1, 84], [71, 22, 105], [71, 42, 121], [67, 60, 132], [60, 77, 138], [53, 93, 140],
  [46, 108, 142], [40, 122, 142], [35, 137, 141], [30, 151, 138], [32, 165, 133], [46, 178, 124],
  [69, 191, 111], [100, 203, 93], [136, 213, 71], [175, 220, 46], [215, 226, 25], [253, 231, 36],
];
export const NOTHING = [24, 27, 33];
const OUTLIERS = 0.01; // share of the nearest and of the farthest pixels that the range leaves out
const BINS = 1024;

/** Colours of depth, where 0 is nothing, and the range that they span: { pixels, near, far }. */
export function colourDepth({ width, height, values }) {
  const { near, far } = depthRange(values);
  const pixels = new ImageData(width, height);
  const data = new Uint32Array(pixels.data.buffer);
  const nothing = pack(NOTHING);
  const colours = ramp(256).map(pack);
  const factor = 255 / Math.max(far - near, 1e-9);
  for (let i = 0; i < values.length; i++) {
    const step = Math.min(Math.max((values[i] - near) * factor, 0), 255);
    data[i] = values[i] > 0 ? colours[Math.round(step)] : nothing;
  }
  return { pixels, near, far };
}

/** `count` colours [r, g, b] from near to far. */
export function ramp(count) {
  return Array.from({ length: count }, (_, i) => {
    const place = (1 - i / (count - 1)) * (RAMP.length - 1);
    const below = Math.min(Math.floor(place), RAMP.length - 2);
    return RAMP[below].map((value, c) => Math.round(value + (RAMP[below + 1][c] - value) * (place - below)));
  });
}

function pack([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The range { near, far } of the depths without a few outliers, by a histogram; 0 is nothing. */
export function depthRange(values) {
  let low = Infinity;
  let high = 0;
  let count = 0;
  for (const value of values) {
    if (!(value > 0)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    count++;
  }
  if (count === 0 || high <= low) return { near: count ? low : 0, far: count ? high : 0 };
  const bins = new Uint32Array(BINS);
  const factor = (BINS - 1) / (high - low);
  for (const value of values) if (value > 0) bins[Math.floor((value - low) * factor)]++;
  const edge = (order) => {
    let seen = 0;
    return order.find((bin) => (seen += bins[bin]) > OUTLIERS * count);
  };
  const order = [...bins.keys()];
  const near = low + edge(order) / factor;
  const far = low + (edge(order.reverse()) + 1) / factor;
  return { near, far };
}
