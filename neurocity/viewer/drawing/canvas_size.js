/** How many pixels a canvas is to have. */

const NO_LIMITS = { max_pixels: Infinity, max_side: Infinity };

/** Call `changed` whenever a pixel of the page has another number of the screen's, which resizes no canvas. */
export function watchRatio(changed) {
  const query = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
  const told = () => {
    changed();
    watchRatio(changed);
  };
  query.addEventListener("change", told, { once: true });
}

/** The pixels of the screen that the canvas takes, as far as the limits allow: { width, height }. */
export function canvasSize({ clientWidth, clientHeight }, limits = NO_LIMITS, ratio = window.devicePixelRatio) {
  const share = Math.min(
    ratio,
    limits.max_side / Math.max(clientWidth, clientHeight),
    Math.sqrt(limits.max_pixels / (clientWidth * clientHeight)),
  );
  return { width: Math.max(1, Math.floor(clientWidth * share)), height: Math.max(1, Math.floor(clientHeight * share)) };
}
