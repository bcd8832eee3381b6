/** The page of a web folder: its scene is drawn here, from the files beside it. */

import { DRAWN_OUTPUTS } from "../camera/address.js";
import { infoInWorld } from "../camera/scene_info.js";
import { attachKeyboard, attachPointer } from "../camera/controls.js";
import { Flight } from "../camera/fly.js";
import { addressedView, View } from "../camera/view.js";
import { canvasSize, watchRatio } from "../drawing/canvas_size.js";
import { SceneFrames } from "../drawing/scene_frames.js";
import { Embedding } from "../embed/embedding.js";
import { element } from "../look/elements.js";
import { paintLegend, showDepth, showDepthRange } from "../look/legend.js";
import { copyLink, hideProblem, notice, showProblem } from "../look/notice.js";
import { groupSource, loadHeader } from "../scene/groups.js";
import { openScene, WebScene } from "../scene/scene.js";

const LARGEST = { max_pixels: 4_194_304, max_side: 8192 };
const FINEST = 2; // pixels of the canvas for one of the page

class Page {
  constructor() {
    this.canvas = element("view");
    this.view = new View((what) => this.#changed(what));
    this.embedding = new Embedding(this.view, { picture: () => this.#picture() });
    this.frames = null; // until the scene can be drawn
    this.broken = null; // the error by which nothing can be drawn any more
    this.whole = false; // whether all of the scene is there that will come
    this.settled = false;
    this.#attach();
  }

  /** Load the scene and show it, coarse to fine. */
  async open() {
    const missing = WebScene.supported();
    if (missing) return this.#refused(missing);
    const header = await loadHeader();
    const { scene: name, info } = header.manifest;
    const world = infoInWorld(info);
    document.title = element("title").textContent = name;
    this.canvas.setAttribute("aria-label", `Scene ${name}`);
    const { scene: of, output, ...wanted } = addressedView();
    const start = of === null || of === name ? wanted : {};
    if (start.eye && start.target) element("poster").hidden = true; // which is another view
    this.#choose(DRAWN_OUTPUTS.includes(output) ? output : "rgb");
    this.view.open(name, world, start);
    const scene = await openScene(this.canvas, header, groupSource(header), { onProgress: (now) => this.#progress(now) });
    scene.onLost = () => this.#lost();
    scene.onRestored = () => {
      scene.loaded.catch((error) => this.#incomplete(error));
      this.#restored();
    };
    scene.onFailed = (error) => this.#broke(error);
    this.frames = new SceneFrames(this.canvas, scene, world, {
      show: (facts) => this.#shown(facts),
      fail: (error) => this.#failed(error),
    });
    scene.loaded.catch((error) => this.#incomplete(error));
    this.#fit();
    this.embedding.tell("ready", { scene: name, bounds: world.bounds, up: world.up });
  }

  /** Run `open`, and say what went wrong. */
  start() {
    this.open().catch((error) => this.#failed(error));
  }

  #attach() {
    const { canvas, view } = this;
    const move = (change) => view.move(change);
    const flight = new Flight(move);
    attachPointer(canvas, move, () => flight.active);
    attachKeyboard(canvas, move, {
      Home: () => view.home(),
      p: () => this.#savePicture(),
      "?": () => element("help-dialog").showModal(),
      ...Object.fromEntries(DRAWN_OUTPUTS.map((name, index) => [String(index + 1), () => this.#choose(name)])),
    });
    canvas.addEventListener("pointermove", (event) => this.#showDepth(event));
    canvas.addEventListener("dblclick", (event) => this.#pivot(event));
    element("home").addEventListener("click", () => view.home());
    element("share").addEventListener("click", () => view.camera && copyLink(view.link(), "this view"));
    element("picture").addEventListener("click", () => this.#savePicture());
    element("help").addEventListener("click", () => element("help-dialog").showModal());
    element("help-close").addEventListener("click", () => element("help-dialog").close());
    element("problem-retry").addEventListener("click", () => location.reload());
    element("output").addEventListener("change", (event) => this.#choose(event.target.value));
    window.addEventListener("hashchange", () => this.#follow());
    new ResizeObserver(() => this.#fit()).observe(canvas);
    watchRatio(() => this.#fit());
    paintLegend();
    document.body.classList.toggle("bare", new URLSearchParams(location.search).has("bare"));
  }

  #choose(output) {
    this.view.choose(output);
  }

  /** Somebody has changed the address. */
  #follow() {
    const { eye, target, fov, output } = addressedView();
    if (this.view.camera === null) return;
    if (DRAWN_OUTPUTS.includes(output)) this.#choose(output);
    this.view.open(this.view.scene, this.view.info, { eye, target, fov });
  }

  #changed({ moved }) {
    const { output } = this.view;
    document.querySelector(`#output input[value=${output}]`).checked = true;
    element("legend").hidden = output !== "depth";
    this.settled = false;
    this.canvas.ariaBusy = "true";
    const { clientWidth, clientHeight } = this.canvas;
    const aspect = clientHeight > 0 ? clientWidth / clientHeight : 1; // a frame may be hidden
    this.frames?.update(this.view.of(aspect), { moved });
    this.embedding.tell("camera", this.embedding.camera);
  }

  /** The window has another size, and so the view another shape. */
  #fit() {
    if (this.frames === null) return;
    const ratio = Math.min(window.devicePixelRatio, FINEST);
    this.frames.resize(canvasSize(this.canvas, LARGEST, ratio));
    this.#changed({ moved: false });
  }

  #shown({ width, height, ms, settled, range }) {
    this.settled = settled;
    this.canvas.classList.add("drawn");
    this.canvas.ariaBusy = String(!(settled && this.whole));
    element("poster").hidden = true;
    element("status").textContent = `${width} × ${height} · ${Math.round(ms)} ms`;
    if (range) showDepthRange(range);
    if (settled) this.embedding.tell("settled", { width, height });
  }

  #progress({ loadedBytes, totalBytes, level, complete }) {
    const bar = element("loading");
    this.whole = complete;
    bar.hidden = complete;
    bar.value = loadedBytes / totalBytes;
    this.embedding.tell("progress", { loadedBytes, totalBytes, level, complete });
    if (this.frames === null) return;
    this.settled = false;
    this.canvas.ariaBusy = "true";
    this.frames.refresh();
  }

  /** The browser has taken the graphics processor away: the last picture may be gone. */
  #lost() {
    this.frames.stop();
    this.canvas.ariaBusy = "true";
    showProblem("The picture is gone", "The browser has taken the graphics processor away; the scene is built anew.");
    this.embedding.tell("lost");
  }

  #restored() {
    this.broken = null;
    hideProblem();
    this.#changed({ moved: false });
    this.embedding.tell("restored");
  }

  async #picture() {
    if (this.frames === null) throw new Error("the scene is not there yet");
    if (this.broken !== null) throw this.broken;
    return this.frames.picture();
  }

  async #savePicture() {
    try {
      savePicture(await this.#picture(), this.view.scene);
    } catch (error) {
      notice(`The picture cannot be saved: ${error.message}.`);
    }
  }

  /** Orbit what is under the pointer. */
  #pivot({ offsetX, offsetY }) {
    const { clientWidth, clientHeight } = this.canvas;
    const place = this.frames?.placeAt(offsetX / clientWidth, offsetY / clientHeight);
    if (place) this.view.move((camera) => camera.pivot(place));
  }

  #showDepth({ offsetX, offsetY, buttons }) {
    if (this.view.output !== "depth" || buttons !== 0 || !this.settled) return;
    const { clientWidth, clientHeight } = this.canvas;
    showDepth(this.frames.depthAt(offsetX / clientWidth, offsetY / clientHeight));
  }

  /** Lost, and not built again. */
  #broke(error) {
    this.broken = error;
    this.frames.giveUp(error);
    this.#failed(error);
  }

  /** What has come is shown, and no more will come. */
  #incomplete(error) {
    if (error.name === "AbortError") return; // loading begins anew when the context is back
    this.whole = true;
    this.canvas.ariaBusy = String(!this.settled);
    this.#tellProblem("A part of the scene cannot be loaded", error);
  }

  #failed(error) {
    this.#tellProblem("The scene cannot be shown", error);
    element("status").textContent = "No picture";
  }

  #tellProblem(title, error) {
    console.error(error);
    showProblem(title, error.message);
    element("loading").hidden = true;
    this.embedding.tell("problem", { message: error.message });
  }

  /** What no second try would change. */
  #refused(detail) {
    showProblem("This browser cannot draw the scene", `${detail} What is seen is a picture of it.`);
    element("problem-retry").hidden = true;
    element("poster").alt = "A picture of the scene";
    element("status").textContent = "A picture";
    this.embedding.tell("problem", { message: detail });
  }
}

function savePicture(blob, scene) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${scene}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

new Page().start();
