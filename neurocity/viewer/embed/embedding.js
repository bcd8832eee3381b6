/**
 * The page inside another page's <iframe>: what that page may ask by postMessage, and what it is told. It speaks
 * first; from then on events go to it alone, at the origin that it spoke from. See docs/embedding.md.
 */

import { DRAWN_OUTPUTS } from "../camera/address.js";

const VERSION = 1;

export class Embedding {
  /** view: a `View`. picture(): a promise of the view as a PNG file, or null where the page gives none. */
  constructor(view, { picture = null } = {}) {
    Object.assign(this, { view, picture });
    this.origin = null; // of the embedding page, when it has spoken
    this.last = {}; // the newest event of each type, for a page that speaks late
    if (window.parent !== window) window.addEventListener("message", (event) => this.#receive(event));
  }

  /** Tell the embedding page of an event. */
  tell(type, facts = {}) {
    delete this.last[type]; // the newest is told last
    this.last[type] = facts;
    this.#post({ type, ...facts });
  }

  /** The present camera, as in messages: fov of the image's shorter side, in degrees. */
  get camera() {
    const keyframe = this.view.keyframe;
    if (keyframe === null) return null;
    const { eye, target, fov } = keyframe;
    return { eye, target, fov: (fov * 180) / Math.PI, output: this.view.output };
  }

  #receive({ source, origin, data }) {
    if (source !== window.parent || data?.neurocity !== VERSION) return;
    const first = this.origin === null;
    this.origin = origin;
    if (first) for (const [type, facts] of Object.entries(this.last)) this.#post({ type, ...facts });
    this.#answer(data).catch((error) => this.#post({ type: "error", id: data.id, message: error.message }));
  }

  async #answer(message) {
    const { type, id } = message;
    if (type === "connect") return this.#post({ type: "connected", id, camera: this.camera });
    if (this.view.camera === null) throw new Error("the scene is not there yet: wait for the event ready");
    if (type === "setCamera") this.#setCamera(message);
    else if (type === "setOutput") this.#setOutput(message);
    else if (type === "home") this.view.home();
    else if (type === "getPicture") return this.#post({ type: "picture", id, picture: await this.#takePicture() });
    else if (type !== "getCamera") throw new Error(`got type ${JSON.stringify(type)}, known: ${KNOWN_TYPES}`);
    this.#post({ type: "camera", id, ...this.camera });
  }

  #setCamera({ eye, target, fov }) {
    const now = this.camera;
    const wanted = { eye: eye ?? now.eye, target: target ?? now.target, fov: fov ?? now.fov };
    for (const name of ["eye", "target"]) {
      const place = wanted[name];
      if (!Array.isArray(place) || place.length !== 3 || !place.every(Number.isFinite)) {
        throw new Error(`${name}: got ${JSON.stringify(place)}, expected three numbers`);
      }
    }
    if (!(wanted.fov > 0 && wanted.fov < 150)) throw new Error(`fov: got ${wanted.fov}, expected 0 to 150 degrees`);
    if (wanted.eye.every((value, axis) => value === wanted.target[axis])) throw new Error("eye and target are the same");
    this.view.keyframe = { ...wanted, fov: (wanted.fov * Math.PI) / 180 };
  }

  #setOutput({ output }) {
    if (!DRAWN_OUTPUTS.includes(output)) throw new Error(`output: got ${output}, expected ${DRAWN_OUTPUTS.join(", ")}`);
    this.view.choose(output);
  }

  #takePicture() {
    if (this.picture === null) throw new Error("this page gives no pictures");
    return this.picture();
  }

  #post(message) {
    if (this.origin === null) return;
    // A page from a disk has no origin that could be named.
    window.parent.postMessage({ neurocity: VERSION, ...message }, this.origin === "null" ? "*" : this.origin);
  }
}

const KNOWN_TYPES = "connect, setCamera, getCamera, setOutput, home, getPicture";
