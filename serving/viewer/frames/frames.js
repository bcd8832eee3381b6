/**
 * Frames of the newest view, over the live view's socket where it can be had, else by single requests. Both
 * ways have `update(view, fullSize, anew)` and `stop()`, have one frame under way at a time, show small frames
 * while the view changes and the full picture when it is still.
 */

import { HttpFrames } from "./http.js";
import { SocketFrames } from "./socket.js";

const RETRY_MS = [1000, 2000, 4000, 8000];
const REOPEN_MS = [1000, 4000, 15000, 60000];

export class FrameLoop {
  /**
   * show(frame, facts): called for each frame that arrives, with { width, height, ms, fullMs, settled }: the size
   *   of the picture that it is, or is a tile of; settled says that no better frame of this view will follow, and
   *   fullMs is then what the full picture has taken, all tiles of it, else null.
   * fail(error, retryInMs): called when a request fails; retryInMs is null when it is not tried again.
   * busy(flag): called when frames are awaited, and when they are no more.
   */
  constructor({ show, fail, busy }) {
    this.fail = fail;
    this.view = null;
    this.settled = true;
    this.failures = 0;
    this.retryTimer = null;
    this.refusals = 0; // of the socket
    this.reopenTimer = null;
    const told = {
      show: (frame, facts) => {
        this.failures = 0;
        this.settled = facts.settled;
        show(frame, facts);
      },
      fail: (error) => this.#failed(error),
      busy,
    };
    this.http = new HttpFrames(told);
    this.socket = new SocketFrames({
      ...told,
      show: (frame, facts) => {
        if (facts.settled) this.refusals = 0; // and not when it opens: it may fail with each picture
        told.show(frame, facts);
      },
      opened: () => this.#opened(),
      refused: () => this.#refused(),
    });
    this.way = this.socket;
  }

  /** What a single request may take. */
  set timeoutMs(ms) {
    this.http.timeoutMs = ms;
  }

  /** The view, or the size of the canvas, has changed. `anew`: what is under way is of no use at all. */
  update(view, fullSize, { anew = false } = {}) {
    this.view = view;
    this.fullSize = fullSize;
    this.settled = false;
    if (this.retryTimer !== null && !anew) return; // the newest view is asked for then
    this.#ask(anew);
  }

  /** Ask again now, after a failure. */
  retry() {
    this.#ask(true);
  }

  /** Ask for nothing more, until the next `update`. */
  stop() {
    clearTimeout(this.retryTimer);
    clearTimeout(this.reopenTimer);
    this.retryTimer = null;
    this.http.stop();
    this.socket.stop(); // it may be on its way to open
    this.way = this.socket;
  }

  #ask(anew) {
    clearTimeout(this.retryTimer);
    this.retryTimer = null;
    if (this.view) this.way.update(this.view, this.fullSize, anew);
  }

  /** A failure is tried again here, unless the gateway has said that it does so itself. */
  #failed(error) {
    if (error.retryInMs === null && error.temporary) {
      const ms = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
      clearTimeout(this.retryTimer);
      this.retryTimer = setTimeout(() => this.#ask(true), ms);
      this.fail(error, ms);
    } else {
      this.fail(error, error.retryInMs);
    }
  }

  #opened() {
    if (this.way === this.socket) return;
    this.way = this.socket;
    this.http.stop();
    if (!this.settled) this.#ask(false);
  }

  /** The socket cannot be had: by a proxy, an older gateway, or one that has too many. */
  #refused() {
    const ms = REOPEN_MS[Math.min(this.refusals++, REOPEN_MS.length - 1)];
    clearTimeout(this.reopenTimer);
    this.reopenTimer = setTimeout(() => this.socket.open(this.view.scene), ms);
    if (this.way === this.http) return;
    this.way = this.http;
    this.socket.stop(); // what it was asked for last is old when it opens
    if (!this.settled) this.#ask(true);
  }
}
