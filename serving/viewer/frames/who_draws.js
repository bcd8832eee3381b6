/** Who draws a scene, this device or the server: by what full pictures of both take, the way through the network included. */

const CLEARLY = 2; // a device that takes so many times what the server takes leaves it to that
const NEARLY = 1.25; // and draws again when it takes no more than this
const QUICK_MS = 100; // a device that is so quick draws whatever the server takes: it needs no network
const QUICKER_MS = 70; // and draws again when it is
const FEWEST = 2; // pictures of the server, the first of which may have waited for the scene
const KEPT = 5; // pictures; one that something held up does not count then
const FAR = 2; // so many times the pixels, or so few: then a picture is to be measured anew

/**
 * Whether the device is to draw; null while too little is known. deviceMs, serverMs: of a full picture.
 * serverPictures: how many of them were measured. drawsNow: whether it draws now, or nothing was decided.
 */
export function deviceDraws({ deviceMs, serverMs, serverPictures }, drawsNow) {
  if (deviceMs > QUICK_MS && serverPictures < FEWEST) return null;
  const most = drawsNow ? Math.max(QUICK_MS, CLEARLY * serverMs) : Math.max(QUICKER_MS, NEARLY * serverMs);
  return deviceMs <= most;
}

/** What full pictures have taken lately. */
export class PictureTimes {
  constructor() {
    this.rates = []; // ms per pixel
    this.pixels = null; // of the newest picture
  }

  add(ms, pixels) {
    if (this.isFar(pixels)) this.rates = [];
    this.rates = [...this.rates, ms / pixels].slice(-KEPT);
    this.pixels = pixels;
  }

  get count() {
    return this.rates.length;
  }

  /** Whether nothing was measured of pictures of about that many pixels. */
  isFar(pixels) {
    return this.pixels === null || Math.max(pixels / this.pixels, this.pixels / pixels) > FAR;
  }

  /** Milliseconds of a picture of so many pixels, the median; null where nothing was measured. */
  of(pixels) {
    if (this.rates.length === 0) return null;
    const sorted = [...this.rates].sort((a, b) => a - b);
    return pixels * sorted[Math.floor((sorted.length - 1) / 2)];
  }
}
