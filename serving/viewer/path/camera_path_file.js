/**
 * nerfstudio's camera_path.json. Written with keyframes, as its viewer of 1.0 and later has them, and with all
 * frames, by which it is rendered. Read by its keyframes, also as older viewers wrote them (columns first, as
 * text). Poses are camera-to-world with OpenGL axes; `fov` is vertical, in degrees.
 */

import { poseOf } from "../camera/camera.js";

const MOST_KEYFRAMES = 1000;
const DEGREES = 180 / Math.PI;

/**
 * The file as text. size: { width, height, framesPerSecond } of the film; scene: its description.
 * A keyframe's fov is of the shorter side, in radians.
 */
export function writeCameraPath(path, scene, { width, height, framesPerSecond }) {
  const aspect = width / height;
  const count = Math.max(2, Math.round(path.seconds * framesPerSecond));
  const pose = ({ eye, target }) => poseOf(eye, target, scene.up);
  const fov = (keyframe) => verticalFov(keyframe.fov, aspect) * DEGREES;
  const steps = path.keyframes.length - (path.loop ? 0 : 1);
  const file = {
    camera_type: "perspective",
    render_width: width,
    render_height: height,
    fps: framesPerSecond,
    seconds: count / framesPerSecond,
    is_cycle: path.loop,
    smoothness_value: 0,
    default_fov: fov(path.keyframes[0]),
    default_transition_sec: path.seconds / steps,
    keyframes: path.keyframes.map((keyframe) => ({
      matrix: pose(keyframe),
      fov: fov(keyframe),
      aspect,
      override_transition_enabled: false,
      override_transition_sec: null,
    })),
    camera_path: path.frames(count).map((camera) => ({ camera_to_world: pose(camera), fov: fov(camera), aspect })),
    crop: null,
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * { keyframes, seconds, loop } of a file's text; throws what is wrong with it. distance(eye, forward): how far
 * before the camera the target is, which the file does not say.
 */
export function readCameraPath(text, distance) {
  const file = parse(text);
  if (!Array.isArray(file.keyframes) || file.keyframes.length === 0) throw new Error("it has no keyframes");
  if (file.keyframes.length > MOST_KEYFRAMES) throw new Error(`it has more than ${MOST_KEYFRAMES} keyframes`);
  const kind = file.camera_type ?? "perspective";
  if (kind !== "perspective") throw new Error(`its cameras are ${kind}, not perspective`);
  const aspect = file.render_width / file.render_height;
  if (!(aspect > 0 && Number.isFinite(aspect))) throw new Error("it has no render_width and render_height");
  const keyframes = file.keyframes.map((entry, index) => {
    const matrix = readMatrix(entry.matrix);
    const fov = readFov(entry);
    if (matrix === null) throw new Error(`keyframes[${index}].matrix is not 16 numbers`);
    if (!(fov > 0 && fov < 180)) throw new Error(`keyframes[${index}].fov is not between 0 and 180 degrees`);
    const eye = [matrix[3], matrix[7], matrix[11]];
    const back = normalise([matrix[2], matrix[6], matrix[10]]);
    const away = distance(eye, back.map((value) => -value));
    const target = eye.map((value, axis) => value - away * back[axis]);
    return { eye, target, fov: shorterFov(fov / DEGREES, aspect) };
  });
  const seconds = Number(file.seconds);
  return { keyframes, seconds: seconds > 0 ? seconds : null, loop: file.is_cycle === true };
}

function parse(text) {
  try {
    const file = JSON.parse(text);
    if (file !== null && typeof file === "object") return file;
  } catch {
    // said below
  }
  throw new Error("it is not JSON");
}

function readMatrix(value) {
  let numbers = value;
  if (typeof value === "string") {
    const columns = JSON.parse(value);
    numbers = columns.map((_, i) => columns[4 * (i % 4) + Math.floor(i / 4)]);
  }
  return Array.isArray(numbers) && numbers.length === 16 && numbers.every(Number.isFinite) ? numbers : null;
}

/** Of the older viewers, among the properties; they are a text. */
function readFov({ fov, properties }) {
  if (fov !== undefined || typeof properties !== "string") return fov;
  return new Map(JSON.parse(properties)).get("FOV");
}

/** The vertical field of view of an image of that aspect, from that of its shorter side; radians. */
function verticalFov(fov, aspect) {
  return aspect >= 1 ? fov : 2 * Math.atan(Math.tan(fov / 2) / aspect);
}

function shorterFov(fov, aspect) {
  return aspect >= 1 ? fov : 2 * Math.atan(Math.tan(fov / 2) * aspect);
}

function normalise(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}
