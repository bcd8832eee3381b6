/** The page: scene, camera and output on one side, the loop of frames on the other. */

import { readAddress, writeAddress } from "./address.js";
import { describeScene, imageLink, listScenes, RequestFailure } from "./api.js";
import { OrbitCamera } from "./camera.js";
import { attachKeyboard, attachPointer } from "./controls.js";
import { ramp } from "./depth.js";
import { drawFrame, fetchFrame } from "./frame.js";
import { FrameLoop } from "./frames.js";

const BUSY_AFTER_MS = 400;
const ADDRESS_AFTER_MS = 200;
const NOTICE_MS = 6000;
const OUTPUTS = ["rgb", "depth", "opacity"];

const element = (id) => document.getElementById(id);
const canvas = element("view");

/** What is looked at; null until the scene is known. */
let scene = null;
let camera = null;
let output = "rgb";
let depth = null;

const loop = new FrameLoop({ request: fetchFrame, show: showFrame, fail: showProblem, busy: showBusy });

function move(change) {
  if (camera === null) return;
  change(camera);
  refresh();
}

/** Ask for frames of the present view. */
function refresh(options) {
  if (camera === null) return;
  const { width, height } = canvas;
  const fov = camera.verticalFov(width / height);
  canvas.ariaBusy = "true";
  loop.update({ scene: scene.scene, output, eye: camera.eye, target: camera.target, fov }, { width, height }, options);
  keepAddress();
}

let opening = 0;

async function openScene(name, { eye, target, fov } = {}) {
  const turn = ++opening;
  const description = await describeScene(name);
  if (turn !== opening) return; // another scene was chosen meanwhile
  scene = description;
  camera = OrbitCamera.ofScene(scene);
  if (fov) camera.fov = (fov * Math.PI) / 180;
  if (eye && target && eye.some((value, axis) => value !== target[axis])) camera.lookAt(eye, target);
  loop.timeoutMs = scene.limits.render_timeout_seconds * 1000;
  element("scene").value = name;
  canvas.setAttribute("aria-label", `Rendered view of ${name}`);
  document.title = `${name} · NeuroCity`;
  fitCanvas();
  refresh({ anew: true });
}

function chooseOutput(name) {
  output = name;
  document.querySelector(`#output input[value=${name}]`).checked = true;
  element("legend").hidden = name !== "depth";
  refresh({ anew: true });
}

/** Give the canvas the pixels of the screen, as far as the server's limits allow. */
function fitCanvas() {
  const { clientWidth, clientHeight } = canvas;
  const limits = scene?.limits ?? { max_pixels: Infinity, max_side: Infinity };
  const ratio = Math.min(
    window.devicePixelRatio,
    limits.max_side / Math.max(clientWidth, clientHeight),
    Math.sqrt(limits.max_pixels / (clientWidth * clientHeight)),
  );
  const width = Math.max(1, Math.floor(clientWidth * ratio));
  const height = Math.max(1, Math.floor(clientHeight * ratio));
  if (canvas.width === width && canvas.height === height) return false;
  // Setting the size clears the canvas: keep the picture until the next one comes.
  const before = canvas.width * canvas.height > 0 ? new OffscreenCanvas(canvas.width, canvas.height) : null;
  before?.getContext("2d").drawImage(canvas, 0, 0);
  canvas.width = width;
  canvas.height = height;
  if (before) canvas.getContext("2d", { alpha: false }).drawImage(before, 0, 0, width, height);
  return true;
}

function showFrame(frame, { width, height, ms, settled }) {
  drawFrame(canvas, frame);
  depth = frame.depth;
  canvas.ariaBusy = String(!settled);
  element("status").textContent = `${width} × ${height} · ${Math.round(ms)} ms`;
  element("problem").hidden = true;
  if (depth) {
    element("legend-near").textContent = length(depth.near);
    element("legend-far").textContent = length(depth.far);
  }
}

function showProblem(error, retryInMs) {
  const failure = error instanceof RequestFailure;
  element("problem-title").textContent = failure ? error.title : "The viewer failed";
  const retry = retryInMs === null ? "" : ` Trying again in ${retryInMs / 1000} s.`;
  element("problem-detail").textContent = error.message + retry;
  element("problem").hidden = false;
  element("status").textContent = "No new image";
  if (!failure) console.error(error);
}

let busyTimer = null;

function showBusy(flag) {
  clearTimeout(busyTimer);
  if (flag) busyTimer = setTimeout(() => (element("progress").hidden = false), BUSY_AFTER_MS);
  else element("progress").hidden = true;
}

let addressTimer = null;

function keepAddress() {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => writeAddress({ scene: scene.scene, camera, output }), ADDRESS_AFTER_MS);
}

async function copyLink() {
  if (camera === null) return;
  const { width, height } = canvas;
  const fov = camera.verticalFov(width / height);
  const { eye, target } = camera;
  const link = imageLink(scene.scene, { eye, target, fov, width, height, output });
  let outcome = "Copied a link to ";
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    // Browsers refuse pages that are not from https or this machine.
    outcome = "Copying is not allowed here; open ";
  }
  const anchor = Object.assign(document.createElement("a"), { href: link, target: "_blank", textContent: "this image" });
  notice(outcome, anchor, ".");
}

let noticeTimer = null;

function notice(...content) {
  element("notice").replaceChildren(...content);
  element("notice").hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (element("notice").hidden = true), NOTICE_MS);
}

function home() {
  if (camera === null) return;
  camera = OrbitCamera.ofScene(scene);
  refresh();
}

function showDepthUnderPointer(event) {
  if (!depth) return;
  const column = Math.floor((event.offsetX / canvas.clientWidth) * depth.width);
  const row = Math.floor((event.offsetY / canvas.clientHeight) * depth.height);
  const value = depth.values[row * depth.width + column];
  element("legend-value").textContent = value > 0 ? length(value) : "–";
}

function length(value) {
  return value.toPrecision(3);
}

function drawLegend() {
  const context = element("legend-ramp").getContext("2d");
  ramp(256).forEach(([red, green, blue], column) => {
    context.fillStyle = `rgb(${red} ${green} ${blue})`;
    context.fillRect(column, 0, 1, 1);
  });
}

/** Show the scene and view of the address, or the first scene. */
async function openAddress() {
  const wanted = readAddress(location.hash);
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
    element("problem").hidden = true;
    retry = () => loop.retry();
  } catch (error) {
    showProblem(error, null);
    if (scene) element("scene").value = scene.scene;
  }
}

let retry = () => {};

attachPointer(canvas, move);
attachKeyboard(canvas, move, {
  Home: home,
  "?": () => element("help-dialog").showModal(),
  ...Object.fromEntries(OUTPUTS.map((name, index) => [String(index + 1), () => chooseOutput(name)])),
});
canvas.addEventListener("pointermove", showDepthUnderPointer);
element("home").addEventListener("click", home);
element("link").addEventListener("click", copyLink);
element("help").addEventListener("click", () => element("help-dialog").showModal());
element("help-close").addEventListener("click", () => element("help-dialog").close());
element("problem-retry").addEventListener("click", () => retry());
element("scene").addEventListener("change", (event) => attempt(() => openScene(event.target.value)));
element("output").addEventListener("change", (event) => chooseOutput(event.target.value));
window.addEventListener("hashchange", () => attempt(openAddress));
new ResizeObserver(() => fitCanvas() && refresh()).observe(canvas);
drawLegend();
attempt(openAddress);
