/** The page: what is looked at on one side, pictures of it on the other: the server's, or drawn here. */

import { OUTPUTS } from "./camera/address.js";
import { attachKeyboard, attachPointer } from "./camera/controls.js";
import { Flight } from "./camera/fly.js";
import { addressedView, View } from "./camera/view.js";
import { canvasSize, watchRatio } from "./drawing/canvas_size.js";
import { Embedding } from "./embed/embedding.js";
import { DrawnHere } from "./frames/drawn_here.js";
import { FrameLoop } from "./frames/frames.js";
import { Screen } from "./frames/screen.js";
import { describeScene, imageLink, listScenes, RequestFailure } from "./gateway/api.js";
import { element } from "./look/elements.js";
import { paintLegend, showDepth, showDepthRange } from "./look/legend.js";
import { copyLink, hideProblem, notice, showProblem } from "./look/notice.js";
import { Recorder } from "./path/recorder.js";

const BUSY_AFTER_MS = 400;

const canvas = element("view");

/** The server's description of what is looked at; null until the scene is known. */
let scene = null;

const view = new View(refresh);
const screen = new Screen(canvas);
const loop = new FrameLoop({ show: showFrame, fail: showFailure, busy: showBusy });
const here = new DrawnHere(element("here-view"), { show: showFacts, able: refresh });
const embedding = new Embedding(view);

const recorder = new Recorder({
  view: () => view.keyframe,
  show: (keyframe) => (view.keyframe = keyframe),
  scene: () => scene,
  distance: (eye, forward) => view.targetDistance(eye, forward),
  say: notice,
});

function move(change) {
  recorder.stop();
  view.move(change);
}

/** What is looked at, in the shape of the canvas. */
function seen() {
  return view.of(canvas.width / canvas.height);
}

/** Ask for pictures of the present view, of who can give them. */
function refresh({ moved = false, anew = false } = {}) {
  if (view.camera === null) return;
  const { width, height } = canvas;
  const wanted = seen();
  canvas.ariaBusy = "true";
  embedding.tell("camera", embedding.camera);
  if (here.draws(view.output)) {
    loop.stop();
    showBusy(false);
    here.update(wanted, { moved });
  } else {
    here.hide();
    loop.update({ scene: scene.scene, ...wanted }, { width, height }, { anew });
  }
}

let opening = 0;

async function openScene(name, wanted) {
  const turn = ++opening;
  const description = await describeScene(name);
  if (turn !== opening) return; // another scene was chosen meanwhile
  if (scene !== null && scene.scene !== name) recorder.clear();
  const before = scene;
  scene = description;
  recorder.offer(scene.film_formats);
  if (before?.scene !== name || before.version !== scene.version) here.open(scene);
  loop.timeoutMs = scene.limits.render_timeout_seconds * 1000;
  element("scene").value = name;
  canvas.setAttribute("aria-label", `Rendered view of ${name}`);
  document.title = `${name} · NeuroCity`;
  fitCanvas();
  view.open(name, scene, wanted);
  embedding.tell("ready", { scene: name, bounds: scene.bounds, up: scene.up });
}

function chooseOutput(name) {
  document.querySelector(`#output input[value=${name}]`).checked = true;
  element("legend").hidden = name !== "depth";
  view.choose(name);
}

/** Give the canvases the pixels of the screen, as far as the server's limits allow. */
function fitCanvas() {
  const { width, height } = canvasSize(canvas, scene?.limits);
  here.resize({ width, height });
  if (canvas.width === width && canvas.height === height) return false;
  // Setting the size clears the canvas: keep the picture until the next one comes.
  const before = canvas.width * canvas.height > 0 ? new OffscreenCanvas(canvas.width, canvas.height) : null;
  before?.getContext("2d").drawImage(canvas, 0, 0);
  canvas.width = width;
  canvas.height = height;
  if (before) canvas.getContext("2d", { alpha: false }).drawImage(before, 0, 0, width, height);
  return true;
}

function showFrame(frame, facts) {
  screen.draw(frame, facts);
  showFacts({ ...facts, range: screen.depth });
  if (facts.settled) here.learn(seen(), facts); // and load what it takes to draw: the way is free
}

function showFacts({ width, height, ms, settled, range }) {
  canvas.ariaBusy = String(!settled);
  element("status").textContent = `${width} × ${height} · ${Math.round(ms)} ms`;
  hideProblem();
  if (range) showDepthRange(range);
  if (settled) embedding.tell("settled", { width, height });
}

function showFailure(error, retryInMs) {
  const failure = error instanceof RequestFailure;
  const retry = retryInMs === null ? "" : ` Trying again in ${retryInMs / 1000} s.`;
  showProblem(failure ? error.title : "The viewer failed", error.message + retry);
  element("status").textContent = "No new image";
  embedding.tell("problem", { message: error.message });
  if (!failure) console.error(error);
}

let busyTimer = null;

function showBusy(flag) {
  clearTimeout(busyTimer);
  if (flag) busyTimer = setTimeout(() => (element("progress").hidden = false), BUSY_AFTER_MS);
  else element("progress").hidden = true;
}

/** Copy a link to the picture that is seen. */
function copyImageLink() {
  if (view.camera === null) return;
  const { width, height } = canvas;
  copyLink(imageLink(scene.scene, { ...seen(), width, height }), "this image");
}

function home() {
  recorder.stop();
  view.home();
}

function showDepthUnderPointer({ offsetX, offsetY, buttons }) {
  if (view.output !== "depth") return;
  const [across, down] = [offsetX / canvas.clientWidth, offsetY / canvas.clientHeight];
  if (here.shown) return buttons === 0 && showDepth(here.depthAt(across, down));
  const { depth } = screen;
  if (!depth) return;
  showDepth(depth.values[Math.floor(down * depth.height) * depth.width + Math.floor(across * depth.width)]);
}

/** Show the scene and view of the address, or the first scene. */
async function openAddress() {
  const wanted = addressedView();
  const names = await listScenes();
  if (names.length === 0) throw new RequestFailure(404, "No scene", "This server has no scenes.");
  element("scene").replaceChildren(...names.map((name) => new Option(name, name)));
  element("scene").disabled = false;
  const known = names.includes(wanted.scene);
  if (wanted.scene !== null && !known) notice(`There is no scene “${wanted.scene}” here.`);
  chooseOutput(wanted.output);
  await (known ? openScene(wanted.scene, wanted) : openScene(names[0]));
}

/** Run what may fail, and say so when it does; `again` is run by the button "Try again". */
async function attempt(action) {
  retry = () => attempt(action);
  try {
    await action();
    hideProblem();
    retry = () => loop.retry();
  } catch (error) {
    showFailure(error, null);
    if (scene) element("scene").value = scene.scene;
  }
}

let retry = () => {};

const flight = new Flight(move);
attachPointer(canvas, move, () => flight.active);
attachKeyboard(canvas, move, {
  Home: home,
  k: () => recorder.add(),
  p: () => recorder.toggle(),
  "?": () => element("help-dialog").showModal(),
  ...Object.fromEntries(OUTPUTS.map((name, index) => [String(index + 1), () => chooseOutput(name)])),
});
canvas.addEventListener("pointermove", showDepthUnderPointer);
element("home").addEventListener("click", home);
element("path-open").addEventListener("click", () => recorder.toggle());
element("share").addEventListener("click", () => view.camera && copyLink(view.link(), "this view"));
element("link").addEventListener("click", copyImageLink);
element("help").addEventListener("click", () => element("help-dialog").showModal());
element("help-close").addEventListener("click", () => element("help-dialog").close());
element("problem-retry").addEventListener("click", () => retry());
element("scene").addEventListener("change", (event) => attempt(() => openScene(event.target.value)));
element("output").addEventListener("change", (event) => chooseOutput(event.target.value));
window.addEventListener("hashchange", () => attempt(openAddress));
new ResizeObserver(() => fitCanvas() && refresh()).observe(canvas);
watchRatio(() => fitCanvas() && refresh());
paintLegend();
attempt(openAddress);
