/**
 * Frames over the socket of a live view. The gateway decides their sizes and the order of tiles; it sends the
 * next one when this one is drawn, and gives up what a newer view makes useless.
 */

import { liveSocket, RequestFailure } from "../gateway/api.js";
import { decodeFrame } from "./screen.js";

const IDLE = 1000; // the code of a socket that the gateway closed because nothing moved
const REFUSALS = [1003, 1008, 1011]; // of one that it closed for what the page said, or because it failed
const STILL_MS = 150; // for which the gateway waits before it renders the full picture of a view that is not anew
const OPEN_MS = 3000; // after which pictures come another way: some proxies never answer a handshake

export class SocketFrames {
  /**
   * show, fail, busy: as the loop's, but `fail` without the time.
   * opened(): the socket is there. refused(): it cannot be had.
   */
  constructor({ show, fail, busy, opened, refused }) {
    Object.assign(this, { show, fail, busy, opened, refused });
    this.socket = null;
    this.scene = null;
    this.wanted = null; // the newest view as a message
    this.pending = false; // whether its full picture is still to come
    this.oldest = 0; // id of the oldest view whose frames are of use
    this.count = 0;
    this.useful = false; // whether this socket has given frames
    this.since = 0; // when the frame that is awaited was asked for
    this.stillAt = 0; // when the view that was sent last has been still
    this.fullSince = null; // when the full picture was begun that tiles come of
  }

  update(view, fullSize, anew) {
    const id = ++this.count;
    // What was not sent yet stays anew.
    if (anew || this.scene !== view.scene) this.oldest = id;
    this.wanted = message(id, view, fullSize, anew);
    this.pending = true;
    this.busy(true);
    if (this.socket === null || this.scene !== view.scene) this.open(view.scene);
    else if (this.socket.readyState === WebSocket.OPEN) this.#send();
  }

  /** Ask for nothing more. */
  stop() {
    const socket = this.socket;
    this.socket = null;
    this.pending = false;
    socket?.close();
  }

  /** Have a socket of that scene. */
  open(scene) {
    this.socket?.close();
    this.scene = scene;
    const socket = liveSocket(scene);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.useful = false;
    const late = setTimeout(() => socket.close(), OPEN_MS);
    socket.addEventListener("open", () => {
      clearTimeout(late);
      if (socket !== this.socket) return;
      if (this.pending) {
        this.wanted.anew = true;
        this.#send();
      }
      this.opened();
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.socket) return;
      if (typeof data === "string") this.#told(JSON.parse(data));
      else this.#receive(socket, data);
    });
    socket.addEventListener("close", ({ code }) => {
      clearTimeout(late);
      if (socket !== this.socket) return;
      this.socket = null;
      // The next view opens it again, and one that it did not see any more does so now.
      if (code === IDLE && !this.pending) return;
      // The gateway is moving, or the way to it was lost. One that never gave a frame is of no use.
      if (this.useful && !REFUSALS.includes(code)) this.open(scene);
      else this.refused();
    });
  }

  #send() {
    this.since = performance.now();
    this.stillAt = this.since + (this.wanted.anew ? 0 : STILL_MS);
    this.fullSince = null;
    this.socket.send(JSON.stringify(this.wanted));
    this.wanted.anew = false;
  }

  /** Draw a frame, and say so: also when it cannot be drawn, since the gateway waits for the word. */
  async #receive(socket, data) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      await this.#draw(socket, header, new Blob([data.slice(4 + length)], { type: header.media_type }));
    } catch (error) {
      this.#broken(error);
    }
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", frame: header.frame }));
  }

  /** Draw a frame, unless it is of no use any more. */
  async #draw(socket, { view, width, height, tile, settled }, image) {
    const whole = tile[2] === width && tile[3] === height;
    const newest = this.wanted?.id;
    if (view === newest || (whole && view >= this.oldest)) {
      const decoded = await decodeFrame(image, this.wanted.output);
      if (socket !== this.socket) return;
      this.useful = true;
      const now = performance.now();
      const last = settled && view === this.wanted.id;
      if (last || !whole) this.fullSince ??= Math.max(this.since, this.stillAt);
      const fullMs = last ? Math.max(now - this.fullSince, 0) : null;
      this.show({ ...decoded, tile }, { width, height, ms: now - this.since, fullMs, settled: last });
      this.since = now;
      if (last) {
        this.pending = false;
        this.busy(false);
      }
    }
  }

  #told({ type, problem, retry_after_seconds: seconds }) {
    if (type !== "problem") return;
    if (seconds === null) this.busy(false);
    const retryInMs = seconds === null ? null : 1000 * seconds;
    this.fail(new RequestFailure(problem.status, problem.title, problem.detail, retryInMs));
  }

  #broken(error) {
    this.busy(false);
    this.fail(Object.assign(error, { retryInMs: null }));
  }
}

function message(id, { output, eye, target, fov }, { width, height }, anew) {
  const camera = { look_at: { eye, target }, fov_y_degrees: fov };
  return { type: "view", id, camera, width, height, output, anew };
}
