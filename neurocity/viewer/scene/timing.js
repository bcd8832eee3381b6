/** How long the graphics processor takes. */

const POLL_MS = 1;

/** Measures draws by timer queries where the browser has them, and else by when a fence is passed. */
export class DrawTimer {
  #gl;
  #extension;

  /** A promise of the milliseconds of the last draw; null where there was none, or the context was lost. */
  finished = Promise.resolve(null);

  constructor(gl) {
    this.#gl = gl;
    this.#extension = gl.getExtension("EXT_disjoint_timer_query_webgl2");
  }

  /** Run `draw`, and measure it. */
  measure(draw) {
    const gl = this.#gl;
    const query = this.#extension && gl.createQuery();
    const began = performance.now();
    if (query) gl.beginQuery(this.#extension.TIME_ELAPSED_EXT, query);
    draw();
    if (query) gl.endQuery(this.#extension.TIME_ELAPSED_EXT);
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    this.finished = this.#wait(query, fence, began);
  }

  async #wait(query, fence, began) {
    const gl = this.#gl;
    const isLost = () => gl.isContextLost() || !gl.isSync(fence); // the fence, of a context that is back already
    const isDone = () =>
      isLost() ||
      (gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED &&
        (!query || gl.getQueryParameter(query, gl.QUERY_RESULT_AVAILABLE)));
    do await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    while (!isDone());
    const passed = performance.now() - began;
    if (isLost()) return null;
    const isWhole = query && !gl.getParameter(this.#extension.GPU_DISJOINT_EXT);
    const measured = isWhole ? gl.getQueryParameter(query, gl.QUERY_RESULT) / 1e6 : 0;
    if (query) gl.deleteQuery(query);
    gl.deleteSync(fence);
    return measured || passed; // a processor without a clock says 0
  }
}
