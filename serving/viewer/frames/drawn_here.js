/**
 * Pictures that this device draws, when the scene has come from the gateway; until then the server's are shown.
 * What draws them is loaded behind the first of these, too. Then a picture is drawn that nobody sees: where the
 * server is clearly quicker it goes on, until the user wants it otherwise.
 */

import { DRAWN_OUTPUTS } from "../camera/address.js";
import { infoInWorld } from "../camera/scene_info.js";
import { fetchedGroups, fetchHeader } from "../gateway/web_scene.js";
import { element } from "../look/elements.js";
import { notice } from "../look/notice.js";
import { deviceDraws, PictureTimes } from "./who_draws.js";

const OFFER = "Draw here";
const SLOWER = "Draw here (slower)";

export class DrawnHere {
  /**
   * canvas: over that of the server's pictures. show(facts): as of `SceneFrames`. able(): called when `draws` may
   * say otherwise than before.
   */
  constructor(canvas, { show, able }) {
    Object.assign(this, { canvas, show, able });
    this.box = element("here");
    this.explained = element("here-choice").title;
    this.usersWord = null; // whether to draw here, when the user has said it
    this.served = null; // the view of the newest full picture of the server
    this.times = { device: new PictureTimes(), server: new PictureTimes() };
    this.tries = false; // whether a picture is drawn to be measured, and not seen
    this.decided = false; // whether it is known who draws
    this.slower = false; // whether the server draws for that
    this.failed = false; // whether it draws since drawing here failed
    this.offered = null; // the description of the scene, while nothing of it was loaded
    this.begun = null; // the same, since it is being loaded
    this.loading = null; // an AbortController
    this.scene = null; // a WebScene
    this.frames = null; // until all of it has come
    this.lost = false;
    this.size = { width: 1, height: 1 };
    this.shown = false;
    this.box.addEventListener("change", () => this.#chosen());
    // Else a context that is lost while no scene is open never comes back.
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  }

  /** Another scene, or another version of it: { scene, web } of the gateway's description. */
  open(description) {
    this.tries = false;
    this.hide();
    this.loading?.abort();
    this.scene?.close();
    Object.assign(this, { loading: null, scene: null, frames: null, lost: false });
    Object.assign(this, { decided: false, slower: false, failed: false });
    this.times = { device: new PictureTimes(), server: new PictureTimes() };
    this.offered = description.web ? description : null;
    Object.assign(element("here-choice"), { hidden: this.offered === null, title: this.explained });
    this.#tell(OFFER);
    if (this.offered === null) return;
    this.box.disabled = false;
    // Where the user asks pages to load little, nothing is loaded unasked.
    this.box.checked = this.usersWord ?? !navigator.connection?.saveData;
  }

  /** The server has given a full picture of that view, of that size, in so many milliseconds. */
  learn(wanted, { width, height, fullMs }) {
    this.served = wanted;
    if (DRAWN_OUTPUTS.includes(wanted.output)) this.times.server.add(fullMs, width * height);
    this.#load();
    if (this.#compare()) this.able();
  }

  /** Load the scene, if that is wanted and was not begun. */
  #load() {
    if (this.offered === null || !this.box.checked) return;
    const loading = new AbortController();
    Object.assign(this, { begun: this.offered, offered: null, loading });
    this.#fetch(this.begun.web, loading.signal).catch((error) => {
      if (loading.signal.aborted) return;
      this.#giveUp(error);
    });
  }

  /** Whether pictures of that output are drawn here now. */
  draws(output) {
    if (this.frames === null || this.lost || this.tries || !this.box.checked) return false;
    return (this.decided || this.usersWord !== null) && DRAWN_OUTPUTS.includes(output);
  }

  update(wanted, { moved }) {
    this.frames.update(wanted, { moved });
    if (moved) this.#reveal(); // who moves sees coarse pictures anyway
  }

  resize(size) {
    this.size = size;
    this.frames?.resize(size);
  }

  /** Let the server's pictures be seen. */
  hide() {
    if (!this.tries) this.frames?.stop();
    this.canvas.hidden = true;
    if (this.shown) this.#offer();
    this.shown = false;
  }

  /** See `SceneFrames.depthAt`. */
  depthAt(across, down) {
    return this.frames.depthAt(across, down);
  }

  async #fetch(web, signal) {
    const [{ openScene, WebScene }, { SceneFrames }] = await Promise.all([
      import("../scene/scene.js"),
      import("../drawing/scene_frames.js"),
    ]);
    const missing = WebScene.supported();
    if (missing) return this.#refuse(missing);
    const header = await fetchHeader(web, signal);
    const scene = await openScene(this.canvas, header, fetchedGroups(web, header, signal), {
      signal,
      onProgress: ({ loadedBytes, totalBytes, complete }) => {
        if (complete) this.#offer();
        else this.#tell(`Loading ${Math.floor((100 * loadedBytes) / totalBytes)} %`);
      },
    });
    if (signal.aborted) return scene.close();
    this.scene = scene;
    const frames = new SceneFrames(this.canvas, scene, infoInWorld(header.manifest.info), {
      show: (facts) => this.#drawn(facts),
      fail: (error) => this.#fail(error),
    });
    scene.onLost = () => this.#lost();
    scene.onRestored = () => this.#drawWhole(scene, frames);
    scene.onFailed = (error) => this.#giveUp(error);
    await this.#drawWhole(scene, frames);
  }

  /** Draw when all of the scene has come; a context that is lost before that begins anew when it is back. */
  async #drawWhole(scene, frames) {
    try {
      await scene.loaded;
    } catch (error) {
      if (error.name !== "AbortError") this.#giveUp(error);
      return; // lost, or another scene is looked at
    }
    this.frames = frames;
    frames.resize(this.size);
    Object.assign(this, { lost: false, tries: false });
    this.#compare();
    if (!this.tries) this.able();
  }

  #drawn(facts) {
    const { width, height, ms, settled } = facts;
    if (settled) this.times.device.add(ms, width * height);
    if (this.tries) {
      if (settled) this.#endTrial();
      return;
    }
    // Not before it is as good as the server's, which it comes in place of.
    if (settled) this.#reveal();
    if (this.shown) this.show(facts);
    if (settled && this.#compare()) this.able();
  }

  /** Say who draws, by what pictures take, unless the user has; true where it is another one than before. */
  #compare() {
    if (this.frames === null || this.lost || this.tries || this.failed || this.usersWord !== null) return false;
    const { device, server } = this.times;
    const pixels = this.size.width * this.size.height;
    if (!this.shown && device.isFar(pixels)) this.#try();
    const [deviceMs, serverMs] = [device.of(pixels), server.of(pixels)];
    if (this.tries || serverMs === null) return false;
    const draws = deviceDraws({ deviceMs, serverMs, serverPictures: server.count }, this.box.checked);
    if (draws === null) return false;
    const title = `A full picture takes ${Math.round(deviceMs)} ms here, ${Math.round(serverMs)} ms from the server`;
    element("here-choice").title = title;
    const drew = this.decided && this.box.checked;
    this.box.checked = draws;
    Object.assign(this, { decided: true, slower: !draws });
    if (!this.shown) this.#offer();
    return draws !== drew;
  }

  /** Draw a picture that is not seen: how long it takes says whether to draw more of them. */
  #try() {
    this.tries = true;
    this.frames.update({ ...this.served, output: "rgb" }, { moved: false });
  }

  #endTrial() {
    this.tries = false;
    this.frames.stop();
    this.#compare();
    if (this.decided && this.box.checked) this.able();
  }

  /** Free what has come of the scene; the switch loads it again. */
  #giveUp(error) {
    if (this.loading === null) return; // given up already
    console.error(error);
    this.tries = false;
    this.hide();
    this.loading.abort();
    this.scene?.close();
    Object.assign(this, { loading: null, scene: null, frames: null, offered: this.begun });
    this.#leave(error.message);
    this.able();
  }

  /** This device cannot draw the scene. */
  #refuse(reason) {
    this.box.disabled = true;
    element("here-choice").title = reason;
    this.#leave(reason);
  }

  /** Leave the scene to the server, and say why. */
  #leave(reason) {
    this.#tell(OFFER);
    this.box.checked = false;
    notice(`The server goes on drawing this scene. ${reason}`);
  }

  #reveal() {
    this.canvas.hidden = false;
    if (!this.shown) this.#tell("Drawn here");
    this.shown = true;
  }

  #lost() {
    Object.assign(this, { lost: true, tries: false });
    this.able();
  }

  #chosen() {
    this.usersWord = this.box.checked;
    Object.assign(this, { tries: false, slower: false, failed: false });
    if (this.frames !== null && !this.shown) this.#offer();
    this.#load();
    this.able();
    element("view").focus(); // the keys steer again
  }

  #fail(error) {
    console.error(error);
    Object.assign(this, { tries: false, slower: false, failed: true });
    this.box.checked = false;
    notice(`The server draws this scene. Drawing here failed: ${error.message}`);
    this.able();
  }

  #offer() {
    this.#tell(this.slower ? SLOWER : OFFER);
  }

  #tell(state) {
    element("here-state").textContent = state;
  }
}
