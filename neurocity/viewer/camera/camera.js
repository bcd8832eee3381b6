/**
 * Cameras. Lengths are scene units, angles radians, vectors arrays of three numbers. `up` is the scene's; the
 * horizon stays level.
 */

const MAX_ELEVATION = (89 * Math.PI) / 180;
const MAX_FOV = (150 * Math.PI) / 180;
const NEAREST = 0.02; // of the scene's diagonal: closer zooming moves the target on
const FARTHEST = 20;

/** A camera that orbits a target. */
export class OrbitCamera {
  /** scene: a description with `bounds` and `up`; fov: of the image's shorter side, in radians. */
  constructor(scene, eye, target, fov) {
    this.up = normalise(scene.up);
    const axis = this.up.map(Math.abs);
    const side = [0, 0, 0];
    side[axis.indexOf(Math.min(...axis))] = 1;
    this.east = normalise(add(side, this.up, -dot(side, this.up)));
    this.north = cross(this.up, this.east);
    this.diagonal = length(add(scene.bounds.slice(3), scene.bounds.slice(0, 3), -1));
    this.fov = fov;
    this.lookAt(eye, target);
  }

  /** The camera of a held-out view, with its target beside the middle of the scene. */
  static ofScene(scene) {
    const low = scene.bounds.slice(0, 3);
    const high = scene.bounds.slice(3);
    const middle = low.map((value, axis) => (value + high[axis]) / 2);
    const diagonal = length(add(high, low, -1));
    if (scene.views.length === 0) {
      const eye = middle.map((value, axis) => value + (axis === 0 ? -1 : 0.4) * diagonal);
      return new OrbitCamera(scene, eye, middle, Math.PI / 4);
    }
    const { camera_to_world: pose, fl_x, fl_y, width, height } = scene.views[0];
    const eye = pose.slice(0, 3).map((row) => row[3]);
    const forward = pose.slice(0, 3).map((row) => -row[2]);
    const target = add(eye, forward, targetDistance(scene, eye, forward));
    const fov = 2 * Math.atan(Math.min(width / fl_x, height / fl_y) / 2);
    return new OrbitCamera(scene, eye, target, fov);
  }

  lookAt(eye, target) {
    const offset = add(eye, target, -1);
    this.target = target;
    this.radius = length(offset);
    this.azimuth = Math.atan2(dot(offset, this.north), dot(offset, this.east));
    this.elevation = clampElevation(Math.asin(clamp(dot(offset, this.up) / this.radius, -1, 1)));
  }

  get eye() {
    return add(this.target, this.backward, this.radius);
  }

  /** Unit vector from the target to the eye. */
  get backward() {
    const level = Math.cos(this.elevation);
    const around = add(scale(this.east, Math.cos(this.azimuth)), this.north, Math.sin(this.azimuth));
    return add(scale(around, level), this.up, Math.sin(this.elevation));
  }

  /** Vertical field of view in degrees of an image of that aspect (width / height). */
  verticalFov(aspect) {
    const fov = aspect >= 1 ? this.fov : 2 * Math.atan(Math.tan(this.fov / 2) / aspect);
    return (Math.min(fov, MAX_FOV) * 180) / Math.PI;
  }

  /** Turn the scene under the pointer: both in shares of the image's height. */
  turn(right, down) {
    this.azimuth -= right * Math.PI;
    this.elevation = clampElevation(this.elevation + down * Math.PI);
  }

  /** Move the scene with the pointer: both in shares of the image's height, for an image of that aspect. */
  pan(right, down, aspect) {
    const backward = this.backward;
    const rightward = normalise(cross(this.up, backward));
    const upward = cross(backward, rightward);
    const height = 2 * this.radius * Math.tan((this.verticalFov(aspect) * Math.PI) / 360);
    this.target = add(add(this.target, rightward, -right * height), upward, down * height);
  }

  /** Turn the camera where it stands, with the scene under the pointer: both in shares of the image's height. */
  look(right, down, aspect) {
    const eye = this.eye;
    const angle = (this.verticalFov(aspect) * Math.PI) / 180;
    this.azimuth += right * angle;
    this.elevation = clampElevation(this.elevation - down * angle);
    this.target = add(eye, this.backward, -this.radius);
  }

  /** Move the camera and its target: in scene units along the view, to the right of it, and along `up`. */
  fly(forward, right, upward) {
    const backward = this.backward;
    const rightward = normalise(cross(this.up, backward));
    this.target = add(add(add(this.target, backward, -forward), rightward, right), this.up, upward);
  }

  /** Orbit a point that is seen from where the camera is; it comes to the middle of the image. */
  pivot(point) {
    const eye = this.eye;
    if (length(add(eye, point, -1)) > 1e-6 * this.diagonal) this.lookAt(eye, point);
  }

  /** Multiply the distance to the target; near the target, go through it instead. */
  zoom(factor) {
    const wanted = this.radius * factor;
    const nearest = NEAREST * this.diagonal;
    if (wanted < nearest && factor < 1) {
      this.target = add(this.target, this.backward, Math.min(wanted, this.radius) - nearest);
      this.radius = nearest;
    } else {
      this.radius = Math.min(wanted, FARTHEST * this.diagonal);
    }
  }
}

/** The camera-to-world matrix, 16 numbers row by row with OpenGL axes, of a camera that looks from eye to target. */
export function poseOf(eye, target, up) {
  const back = normalise(add(eye, target, -1));
  const right = normalise(cross(up, back));
  const above = cross(back, right);
  return [...[0, 1, 2].flatMap((axis) => [right[axis], above[axis], back[axis], eye[axis]]), 0, 0, 0, 1];
}

/** How far before a camera its target is: beside the middle of the scene. */
export function targetDistance(scene, eye, forward) {
  const low = scene.bounds.slice(0, 3);
  const high = scene.bounds.slice(3);
  const diagonal = length(add(high, low, -1));
  const ahead = dot(add(scale(add(low, high), 0.5), eye, -1), forward);
  return ahead > NEAREST * diagonal ? ahead : diagonal / 4;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function clampElevation(elevation) {
  return clamp(elevation, -MAX_ELEVATION, MAX_ELEVATION);
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function add(a, b, factor = 1) {
  return a.map((value, axis) => value + factor * b[axis]);
}

function scale(a, factor) {
  return a.map((value) => value * factor);
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function length(a) {
  return Math.sqrt(dot(a, a));
}

function normalise(a) {
  return scale(a, 1 / length(a));
}
