/**
 * A camera that orbits a target. Lengths are scene units, angles radians, vectors arrays of three numbers.
 * `up` is the scene's; the horizon stays level.
 */

const MAX_ELEVATION = (89 * Math.PI) / 180;
const MAX_FOV = (150 * Math.PI) / 180;
const NEAREST = 0.02; // of the scene's diagonal: closer zooming moves the target on
const FARTHEST = 20;

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
    const ahead = dot(add(middle, eye, -1), forward);
    const target = add(eye, forward, ahead > NEAREST * diagonal ? ahead : diagonal / 4);
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
